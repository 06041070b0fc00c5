"""The engine under load: is its work of use, does a big request hurt small ones, and what happens beyond capacity?

Run: python -m benchmarks.engine
"""

import json
import math
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import described, training_paused
from benchmarks.overflow import overflow
from benchmarks.servers import FLOW, ROOT, Running, both_models, ours, running
from benchmarks.wrk import load
from service.engine.admission import Waiting
from service.engine.engine import Engine
from service.engine.program import ServedProgram
from service.engine.request import Problem, Request
from service.load.bench import run_bench
from service.models import load_model
from service.settings import Settings

OUT = Path("docs/benchmarks")
TOLS = ("1e-1", "1e-2", "1e-3", "1e-4")
BIG_POINTS, BIG_TOL = 10_000, "1e-6"


def mixed_load() -> dict[str, Any]:
    """64 clients, tolerances mixed: the share of lane evaluations that were of use, and processor time of an answer."""
    with running(ours()) as server:
        load(server.url, clients=64, seconds=3, tols=TOLS)
        before = server.cpu_seconds
        found = load(server.url, clients=64, seconds=15, tols=TOLS)
        cpu = server.cpu_seconds - before
        time.sleep(1)
        issued = server.metric("function_evaluations_total")
        useful = server.metric("function_evaluations_useful_total")
    return {
        "share": round(useful / issued, 4),
        "answers_per_second": round(found.per_second, 1),
        "cpu_ms_per_answer": round(1e3 * cpu / (15 * found.per_second), 2),
        "alone_ms_per_answer": round(alone_ms(), 2),
    }


def alone_ms() -> float:
    """What the graphs alone take for an answer of the mix, on one core with nothing beside it."""
    program = load_model(ROOT / "checkpoints" / "odenet-mnist" / "1", Settings()).programs["classify"]
    work = [program.work(1, program.cost.cheapest_method(tol, tol), tol) for tol in map(float, TOLS)]
    return 1e3 * float(np.mean(work))


def outside_backend(lanes: int = 8, items: int = 400, under_way: int = 32) -> dict[str, float]:
    """Part of a turn that is not the backend's, one shard alone, the mixed tolerances."""
    program = load_model(ROOT / "checkpoints" / "odenet-mnist" / "1", Settings(lanes=lanes)).programs["classify"]
    digits = [json.loads(path.read_text())["image"] for path in sorted((ROOT / "examples" / "digits").glob("*.json"))]
    images = np.resize(np.array(digits, np.float32), (items, 28, 28))
    shares = [_one_shard(program, images, under_way) for _ in range(5)]
    return {"lanes": lanes, "share": round(float(np.median(shares)), 4)}


def _one_shard(program: ServedProgram, images: Any, under_way: int) -> float:
    waiting, ended, asked = Waiting(shards=1, limit=math.inf), [], 0

    def on_end(request: Request) -> None:
        waiting.drop(request)
        ended.append(request)

    engine, seconds, backend = Engine(waiting, nullcontext()), 0.0, 0.0
    while len(ended) < len(images):
        while asked - len(ended) < under_way and asked < len(images):
            tol = float(TOLS[asked % len(TOLS)])
            method = program.cost.cheapest_method(tol, tol)
            first_dt = program.cost.first_dt(method, tol)
            problem = Problem(program, method, images[asked : asked + 1], (), tol, tol, 10_000, first_dt)
            waiting.offer(Request(problem, received=time.perf_counter(), deadline=math.inf, ended=on_end))
            asked += 1
        report = engine.step()
        assert report is not None
        seconds += report.seconds
        backend += report.tally.backend_seconds
    return 1 - backend / seconds


def big_beside_small(rate: float = 60, seconds: float = 20) -> dict[str, Any]:
    """Single images with and without 10,000-point densities at the tightest tolerance, three times in turn."""
    points = np.random.default_rng(0).normal(0.5, 1.0, (BIG_POINTS, 2)).round(4).tolist()
    found: dict[str, list[float]] = {"without": [], "with": []}
    ended: list[float] = []
    with running(both_models()) as server, tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "points.json"
        body.write_text(json.dumps({"points": points}))
        options = {"rate": rate, "seconds": seconds, "tols": TOLS, "model": "odenet-mnist", "bodies": [], "seed": 0}
        for _ in range(3):
            for kind in ("without", "with"):
                with _big_requests(server, body, ended) if kind == "with" else nullcontext():
                    figures = run_bench(server.url, **options, progress=lambda done, total: None)
                assert figures["all"]["ok"] == figures["all"]["sent"]
                found[kind].append(figures["all"]["p99_ms"])
    without, beside = (float(np.median(found[kind])) for kind in ("without", "with"))
    return {
        "rate": rate,
        "p99_ms_without": without,
        "p99_ms_with": beside,
        "ratio": round(beside / without, 2),
        "big_seconds": round(float(np.median(ended)), 2),
        "bigs_ended": len(ended),
    }


@contextmanager
def _big_requests(server: Running, body: Path, ended: list[float]) -> Iterator[None]:
    """One big request after another, by curl: a client in this process would keep the small ones' client waiting."""
    url = f"{server.url}/density?model={FLOW}&tol={BIG_TOL}"
    answer = body.with_name("answer.json")
    command = ["curl", "-sS", "-o", answer, "-H", "Content-Type: application/json", "-d", f"@{body}", url]
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            begun = time.perf_counter()
            subprocess.run(command, check=True)
            ended.append(time.perf_counter() - begun)

    asking = threading.Thread(target=ask)
    asking.start()
    yield
    stop.set()
    asking.join()
    assert len(json.loads(answer.read_text())["predictions"]) == BIG_POINTS


def main() -> None:
    """Write docs/benchmarks/engine.{md,json}."""
    with training_paused():
        recorded = {
            **described("onnxruntime", "uvicorn"),
            "mixed_load": mixed_load(),
            "outside_backend": outside_backend(),
            "big_beside_small": big_beside_small(),
            "overflow": overflow(),
        }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "engine.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (OUT / "engine.md").write_text(markdown(recorded))
    print((OUT / "engine.md").read_text())


def markdown(recorded: dict[str, Any]) -> str:
    """What was found, in words."""
    mixed, outside = recorded["mixed_load"], recorded["outside_backend"]
    spent, alone = mixed["cpu_ms_per_answer"], mixed["alone_ms_per_answer"]
    big, flood = recorded["big_beside_small"], recorded["overflow"]
    ratios = ", ".join(f"{ratio:g}" for ratio in flood["retry_after_over_actual"])
    return f"""# The engine under load

| question | found | target |
|---|---|---|
| evaluations that were of use, 64 clients, tolerances mixed | {100 * mixed["share"]:.1f} % | 95 % |
| processor time of an answer there, everything included; of it what the graphs need, alone on a core \
| {spent:g} ms, {alone:g} ms, at {mixed["answers_per_second"]:.0f} answers a second | - |
| part of a step that is not ONNX Runtime's, {outside["lanes"]} lanes | {100 * outside["share"]:.1f} % | 15 % |
| p99 of single images at {big["rate"]:g} a second beside 10,000-point densities at {BIG_TOL}, over that without \
| {big["ratio"]:g} ({big["p99_ms_without"]:.0f} to {big["p99_ms_with"]:.0f} ms) | 3 |
| ... and the big requests end, each in | {big["big_seconds"]:g} s ({big["bigs_ended"]} of them) | - |
| {flood["sent"]} requests in a minute, ten times the capacity: answered, refused, anything else \
| {flood["ok"]}, {flood["refused"]}, {flood["other"]} | nothing else |
| memory before and at most | {flood["rss_mb_before"]} and {flood["rss_mb_peak"]} MiB | bounded |
| Retry-After over the time until there was room | {ratios} | 0.5 to 2 |
| lanes and queue afterwards | {flood["left_afterwards"]:g} | 0 |

{recorded["machine"]}; {recorded["versions"]}; {recorded["date"]}. Made by `make bench`.
"""


if __name__ == "__main__":
    main()
