"""Models reloaded under load: does a request fail, do answers take longer, does memory grow?

The classifier and a flow are loaded anew in turn, each checked, warmed and timed as at the start, while independent
users ask for both, plainly and by the Open Inference Protocol. Before that the same users ask for a while undisturbed.

Run: python -m benchmarks.reload
"""

import asyncio
import json
import statistics
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.machine import described
from benchmarks.servers import FLOW, Running, ours, running
from service.load.arrivals import poisson_arrivals
from service.load.client import LoadClient, Outcome

OUT = Path("docs/benchmarks/reload.json")
DIGIT = "odenet-mnist"
RELOADS, WARM_RELOADS = 200, 20
LANES = 16
"""Fixed, because trying widths takes most of a load's time."""
QUIET_SECONDS, CHUNK_SECONDS = 40, 10
RATE = 8.0
"""Requests a second of each kind of user."""
TOLS = ("1e-1", "1e-3")


@dataclass(frozen=True)
class Users:
    """One kind of request."""

    name: str
    path: str
    body: bytes


def users() -> list[Users]:
    """Images and points, and points by the Open Inference Protocol."""
    draw = np.random.default_rng(0)
    image = json.dumps({"image": draw.random((28, 28)).round(3).tolist()}).encode()
    points = draw.normal(0.5, 1.0, (50, 2)).round(4).tolist()
    tensor = {"name": "point", "shape": [50, 2], "datatype": "FP32", "data": points}
    return [
        Users("classify", f"/classify?model={DIGIT}&tol={{tol}}", image),
        Users("density", f"/density?model={FLOW}&tol={{tol}}", json.dumps({"points": points}).encode()),
        Users("v2", f"/v2/models/{FLOW}/infer", json.dumps({"inputs": [tensor]}).encode()),
    ]


async def ask(server: Running, kind: Users, seed: int, seconds: float) -> list[Outcome]:
    """Requests of one kind at random times."""
    client = LoadClient(urlsplit(server.url), lambda arrival: kind.path.format(tol=arrival.tol), [kind.body])
    return await client.run(poisson_arrivals(RATE, seconds, TOLS, 1, seed=seed), lambda done: None)


async def ask_all(server: Running, seed: int, seconds: float) -> list[Outcome]:
    """All kinds together."""
    found = await asyncio.gather(*(ask(server, kind, seed + k, seconds) for k, kind in enumerate(users())))
    return [outcome for outcomes in found for outcome in outcomes]


def reload(server: Running, name: str) -> float:
    """Seconds that loading a model anew takes."""
    begun = time.perf_counter()
    request = urllib.request.Request(f"{server.url}/v2/repository/models/{name}/load", data=b"{}", method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - begun


async def reload_all(server: Running, done: asyncio.Event) -> tuple[list[float], list[int]]:
    """Seconds of each reload, and the memory after it. Units: MiB."""
    seconds, resident = [], []
    for number in range(RELOADS):
        seconds.append(await asyncio.to_thread(reload, server, (DIGIT, FLOW)[number % 2]))
        resident.append(server.resident_mb)
        if number % 10 == 9:
            print(f"{number + 1} reloads, {resident[-1]} MiB", flush=True)
    done.set()
    return seconds, resident


async def under_load(server: Running) -> tuple[list[Outcome], list[float], list[int]]:
    """Reloads one after another while the users ask."""
    done, outcomes, seed = asyncio.Event(), [], 100
    reloading = asyncio.create_task(reload_all(server, done))
    while not done.is_set() and not reloading.done():
        outcomes += await ask_all(server, seed, CHUNK_SECONDS)
        seed += 10
    return outcomes, *await reloading


def told(outcomes: list[Outcome]) -> dict[str, Any]:
    """Statuses and latencies. Units: milliseconds."""
    latencies = 1e3 * np.array([outcome.latency for outcome in outcomes if outcome.status == 200])
    statuses = Counter(str(outcome.status) for outcome in outcomes)
    p50, p99 = np.percentile(latencies, (50, 99)).round(1).tolist()
    return {"requests": len(outcomes), "statuses": dict(statuses), "p50_ms": p50, "p99_ms": p99}


def main() -> None:
    """Write docs/benchmarks/reload.json."""
    with running(ours(MODELS=f"{DIGIT},{FLOW}", MODEL_CONTROL="explicit", LANES=LANES)) as server:
        quiet = asyncio.run(ask_all(server, 1, QUIET_SECONDS))
        outcomes, seconds, resident = asyncio.run(under_load(server))
        left = server.metric("lanes_active") + server.metric("queue_depth")
    half = len(resident) // 2
    recorded = {
        **described("onnxruntime", "uvicorn"),
        "command": "python -m benchmarks.reload",
        "users_per_second": {"kinds": 3, "each": RATE},
        "without_reloads": told(quiet),
        "with_reloads": told(outcomes),
        "reloads": len(seconds),
        "reload_seconds": {"median": round(statistics.median(seconds), 2), "longest": round(max(seconds), 2)},
        "rss_mib": {
            f"after_{WARM_RELOADS}": resident[WARM_RELOADS - 1],
            f"after_{half}": resident[half - 1],
            f"after_{len(resident)}": resident[-1],
            "most": max(resident),
            "median_first_half": statistics.median(resident[WARM_RELOADS:half]),
            "median_second_half": statistics.median(resident[half:]),
        },
        "left_afterwards": left,
    }
    OUT.write_text(json.dumps(recorded, indent=1) + "\n")
    print(json.dumps(recorded, indent=1))


if __name__ == "__main__":
    main()
