"""NVIDIA's load generator and client on the Open Inference Protocol, and what the protocol costs beside /classify.

perf_analyzer is not installed with the tests: the x86-64 Linux wheels of tritonclient up to 2.50 hold it (it needs
libb64 and CUDA's runtime library, and no GPU). Over HTTP it sends no parameters, so it asks at the model's default
tolerance. For the comparison one client asks in turn by each way, on one connection.

Run: python -m benchmarks.open_inference [PATH OF perf_analyzer]
"""

import csv
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as triton

from benchmarks.machine import described
from benchmarks.servers import FLOW, Running, ours, running

OUT = Path("docs/benchmarks/open-inference.json")
DIGIT, TOL = "odenet-mnist", 1e-2
IMAGE = json.loads(Path("examples/digits/7.json").read_bytes())["image"]
ROUNDS, WARM_ROUNDS = 400, 40
CONCURRENCY = "1:7:3"
WINDOW_MS = 5000


def perf_analyzer(program: str, server: Running) -> dict[str, Any]:
    """Its own figures for a classifier and a flow, by number of concurrent requests."""
    points = np.random.default_rng(0).normal(0.5, 1.0, (16, 2)).round(4)
    inputs = {
        DIGIT: {"image": {"content": np.array(IMAGE).ravel().tolist(), "shape": [28, 28]}},
        FLOW: {"point": {"content": points[0].tolist(), "shape": [2]}},
    }
    return {model: _analyzed(program, server, model, given) for model, given in inputs.items()}


def _analyzed(program: str, server: Running, model: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        data, table = Path(folder, "input.json"), Path(folder, "table.csv")
        data.write_text(json.dumps({"data": [given]}))
        address = server.url.removeprefix("http://")
        options = {
            "-m": model,
            "-u": address,
            "-i": "http",
            "--input-data": str(data),
            "--concurrency-range": CONCURRENCY,
            "--measurement-interval": str(WINDOW_MS),
            # On a shared machine windows differ more than by the 10 % that it asks for by itself.
            "-s": "60",
            "-f": str(table),
        }
        subprocess.run([program, *(word for pair in options.items() for word in pair)], check=True, timeout=600)
        return [
            {
                "concurrency": int(row["Concurrency"]),
                "per_second": float(row["Inferences/Second"]),
                "p50_ms": int(row["p50 latency"]) / 1e3,
                "p99_ms": int(row["p99 latency"]) / 1e3,
            }
            for row in csv.DictReader(table.read_text().splitlines())
        ]


def beside_classify(server: Running) -> dict[str, dict[str, float]]:
    """Milliseconds of one image by each way, one after another; and those of tritonclient, which adds its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    image = np.array(IMAGE, np.float32)[None]
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "FP32"}
    parameters = {"tol": TOL}

    def post(path: str, body: bytes, headers: dict[str, str]) -> None:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status}")

    def infer(json_part: dict[str, Any], blob: bytes = b"") -> Callable[[], None]:
        text = json.dumps(json_part).encode()
        headers = {"Inference-Header-Content-Length": str(len(text))} if blob else {}
        return lambda: post(f"/v2/models/{DIGIT}/infer", text + blob, headers)

    given = triton.InferInput("image", [1, 28, 28], "FP32")
    given.set_data_from_numpy(image)
    client = triton.InferenceServerClient(urlsplit(server.url).netloc)
    plain = json.dumps({"image": IMAGE}).encode()
    listed = {**tensor, "data": np.array(IMAGE).ravel().tolist()}
    packed = {**tensor, "parameters": {"binary_data_size": image.nbytes}}
    ways: dict[str, Callable[[], object]] = {
        "/classify, JSON": lambda: post(f"/classify?tol={TOL}", plain, {"Content-Type": "application/json"}),
        "/v2, JSON": infer({"inputs": [listed], "parameters": parameters}),
        "/v2, binary": infer(
            {"inputs": [packed], "parameters": parameters | {"binary_data_output": True}}, image.tobytes()
        ),
        "/v2, tritonclient": lambda: client.infer(DIGIT, [given], parameters=parameters),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(WARM_ROUNDS + ROUNDS):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number >= WARM_ROUNDS:
                taken[name].append(1e3 * (time.perf_counter() - begun))
    return {
        name: {"p50_ms": round(statistics.median(found), 2), "least_ms": round(min(found), 2)}
        for name, found in taken.items()
    }


def main() -> None:
    """Write docs/benchmarks/open-inference.json."""
    program = sys.argv[1] if len(sys.argv) > 1 else None
    with running(ours(MODELS=f"{DIGIT},{FLOW}")) as server:
        ways = beside_classify(server)
        analyzed = perf_analyzer(program, server) if program else {}
    recorded = {
        **described("onnxruntime", "uvicorn", "tritonclient"),
        "command": "python -m benchmarks.open_inference perf_analyzer",
        "one_image_in_turn": ways,
        "perf_analyzer": {"of": "tritonclient 2.50.0", "concurrency": analyzed} if program else "not run",
    }
    OUT.write_text(json.dumps(recorded, indent=1) + "\n")
    print(json.dumps(recorded, indent=1))


if __name__ == "__main__":
    main()
