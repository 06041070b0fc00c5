"""A million requests through the real scheduler on simulated time: how long may a request wait for its due time?

Run: python -m benchmarks.simulation
"""

import json
from typing import Any

import numpy as np
import typer
from rich.progress import track

from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT
from benchmarks.simulation.report import write
from node_model.manifest import read_manifest
from service.models import load_model
from service.settings import Settings
from service.simulation.program import simulated_program, timings_of
from service.simulation.run import Traffic, seconds_per_request, simulate
from service.simulation.stepper import Clock

OUT = ROOT / "docs" / "benchmarks"
MODEL = ROOT / "checkpoints" / "odenet-mnist" / "1"
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SHORTEST = 1e6
PATIENCES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, SHORTEST)
"""K of the due time: 0 is first come first served, SHORTEST shortest first."""
SHARDS = 2
BEGINNING = 0.2
"""Share of a run that is not looked at: queues are still filling."""
LONGER = 4
"""Runs at or above what can be done are so many times as long: their queues take long to fill."""


def cell(ends: dict[str, np.ndarray], simulated_seconds: float) -> dict[str, Any]:
    """Figures of one run."""
    ends = {name: column[int(BEGINNING * len(column)) :] for name, column in ends.items()}
    solved = ends["refused"] == ""
    one = solved & (ends["items"] == 1)
    strict = np.isfinite(ends["deadline"])
    admitted = strict & (ends["refused"] != "deadline") & (ends["refused"] != "queue_full")
    kept = admitted & solved & (ends["taken"] <= ends["deadline"])
    return {
        "answers_per_second": round(float(solved.sum() / (1 - BEGINNING) / simulated_seconds), 1),
        "by_tol": {
            f"{tol:g}": _times(ends["taken"][one & (ends["tol"] == tol)], ends["waited"][one & (ends["tol"] == tol)])
            for tol in np.unique(ends["tol"])[::-1]
        },
        "by_items": {
            str(count): _times(ends["taken"][chosen], ends["waited"][chosen])
            for count in np.unique(ends["items"])
            for chosen in [solved & (ends["items"] == count)]
        },
        "deadlines_missed": _share(admitted & ~kept, admitted),
        "deadlines_refused": _share(strict & (ends["refused"] == "deadline"), strict),
        "queue_full": _share(ends["refused"] == "queue_full", np.ones(len(solved), bool)),
        "loosened": _share(ends["loosened"], ends["may_loosen"]),
    }


def _times(taken: np.ndarray, waited: np.ndarray) -> dict[str, float]:
    """How many there were, and their milliseconds."""
    if not len(taken):
        return {}
    figures = {"count": len(taken), "mean": 1e3 * taken.mean()}
    figures |= {f"p{share}": 1e3 * np.percentile(taken, share) for share in (50, 90, 99)}
    figures |= {f"waited_p{share}": 1e3 * np.percentile(waited, share) for share in (50, 99)}
    return {name: round(float(value), 2) for name, value in figures.items()}


def _share(some: np.ndarray, of: np.ndarray) -> float:
    return round(float(some.sum() / max(1, of.sum())), 5)


def main(requests: int = 1_500_000, seed: int = 0) -> None:
    """Every K at every load, the requests shared evenly among them."""
    with training_paused():
        timings = timings_of(load_model(MODEL, Settings()).programs["classify"])
    spec, traffic = read_manifest(MODEL).programs["classify"], Traffic()
    lengths = {load: LONGER if load >= 1 else 1 for load in LOADS}
    each = requests // (len(PATIENCES) * sum(lengths.values()))
    runs = []
    for patience, load in track([(k, load) for k in PATIENCES for load in LOADS], "simulated runs"):
        clock = Clock()
        program = simulated_program("odenet-mnist", spec, timings, clock)
        count, rate = each * lengths[load], load * SHARDS / seconds_per_request(program, traffic)
        ends = simulate(
            program, clock, rate=rate, patience=patience, requests=count, shards=SHARDS, traffic=traffic, seed=seed
        )
        row = {"patience": "shortest first" if patience == SHORTEST else patience, "load": load, "requests": count}
        runs.append(row | cell(ends.arrays(), clock.now))
    recorded = {
        **described("numpy"),
        "requests": sum(row["requests"] for row in runs),
        "shards": SHARDS,
        "traffic": vars(traffic),
        "timings_ms": {"start": round(1e3 * timings.start, 4), "lanes": timings.lanes}
        | {m: {n: round(1e3 * s, 3) for n, s in seconds.items()} for m, seconds in timings.steps.items()},
        "runs": runs,
    }
    (OUT / "scheduling.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    typer.run(main)
