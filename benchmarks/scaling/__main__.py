"""Does the capacity model foretell what a server does, and what follows for a million requests a second?

Where other programs take a part of the cores, so much less is to be expected: what the server had is recorded.

The model is given step times; what a request takes beside the engine, from one load at one tolerance on one core; and
what a second shard costs the first, from the same on two. It then says what one and two shards do with a mix of
tolerances, and how late.

Run: python -m benchmarks.scaling
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import typer

from benchmarks.machine import described, training_paused
from benchmarks.scaling.report import write
from benchmarks.servers import ROOT, Running, ServerSpec, ours, running
from benchmarks.wrk import load
from node_model.manifest import read_manifest
from service.capacity.mix import Mix, read_mix
from service.capacity.replica import Replica
from service.load.arrivals import poisson_arrivals
from service.load.client import LoadClient
from service.simulation.program import Timings

OUT = ROOT / "docs" / "benchmarks"
NAME = "odenet-mnist"
MODEL = ROOT / "checkpoints" / NAME / "1"
MIX = "1e-1:0.5,1e-2:0.4,1e-4:0.1"
DRAWN = ("1e-1",) * 5 + ("1e-2",) * 4 + ("1e-4",)
"""The same, each as often as it is asked for."""
SINGLE = "1e-1"
"""The tolerance of the load from which it is learned what a request takes beside the engine."""
CLIENTS, WARM_SECONDS, SECONDS, LONG_SECONDS = 256, 2.0, 5.0, 6.0
AT = 0.6
CORES = {1: "0", 2: "0,1"}
"""Of a server with so many shards."""
CLIENT_CORE = 1
HURRY = ("nice", "-n", "-5")


def measured_timings() -> Timings:
    """In a fresh process on the first core, as one that serves would."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from service.models import load_model\n"
        "from service.settings import Settings\n"
        "from service.simulation.program import timings_of\n"
        f"timings = timings_of(load_model(Path({str(MODEL)!r}), Settings()).programs['classify'])\n"
        "print(json.dumps(vars(timings)))\n"
    )
    command = [*HURRY, "taskset", "-c", CORES[1], sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return read_timings(json.loads(done.stdout.splitlines()[-1]))


def read_timings(recorded: dict[str, Any]) -> Timings:
    """From JSON, where all keys are text."""
    steps = {method: {int(n): s for n, s in seconds.items()} for method, seconds in recorded["steps"].items()}
    return Timings(recorded["start"], steps, recorded["lanes"])


def pinned(shards: int) -> ServerSpec:
    """A server that has as many cores as shards."""
    spec = ours(SHARDS=shards)
    return replace(spec, command=(*HURRY, "taskset", "-c", CORES[shards], *spec.command))


@dataclass(frozen=True)
class Saturated:
    """Under clients that always ask again: answers a second; cores that the server really had of those it was given;
    seconds that the generator of the load took itself for each answer."""

    per_second: float
    had: float
    client: float


def saturated(server: Running, tols: Sequence[str]) -> Saturated:
    """After warming up."""
    load(server.url, clients=CLIENTS, seconds=WARM_SECONDS, tols=tuple(tols))
    before, busy, begun = _children_seconds(), server.cpu_seconds, time.monotonic()
    found = load(server.url, clients=CLIENTS, seconds=SECONDS, tols=tuple(tols))
    had = (server.cpu_seconds - busy) / (time.monotonic() - begun)
    return Saturated(found.per_second, had, (_children_seconds() - before) / (found.per_second * SECONDS))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def latencies(server: Running, rate: float, bodies: Sequence[bytes], seed: int) -> dict[str, float]:
    """Of requests at random times, by a client that took `client` seconds itself for each."""
    arrivals = poisson_arrivals(rate, LONG_SECONDS, DRAWN, len(bodies), seed)
    client = LoadClient(urlsplit(server.url), lambda arrival: f"/classify?model={NAME}&tol={arrival.tol}", bodies)
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcomes = asyncio.run(client.run(arrivals, lambda done: None))
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    taken = [1e3 * (o.latency - max(0.0, o.late)) for o in outcomes if o.status == 200]
    if len(taken) < len(outcomes):
        raise SystemExit(f"{len(outcomes) - len(taken)} of {len(outcomes)} requests failed at {rate:.0f} a second")
    p50, p99 = np.percentile(taken, [50, 99])
    return {"rate": rate, "p50_ms": float(p50), "p99_ms": float(p99), "client": used / len(outcomes)}


def one_round(bodies: Sequence[bytes], seed: int) -> dict[str, Any]:
    """Everything once, the model first."""
    timings = measured_timings()
    replica = Replica(NAME, read_manifest(MODEL).programs["classify"], timings, read_mix(MIX), 1, beside=0.0)
    with running(pinned(1)) as server:
        single = saturated(server, (SINGLE,))
    with running(pinned(2)) as server:
        double = saturated(server, (SINGLE,))
    # By processor time: a core that others had in part would make requests look dear.
    solving = replace(replica, mix=Mix((float(SINGLE),), (1.0,))).work
    beside = single.had / single.per_second - solving
    crowding = max(0.0, double.had / double.per_second / (solving + beside) - 1)
    found: dict[str, Any] = {"timings": vars(timings), "single": asdict(single), "double": asdict(double)}
    found |= {"beside": beside, "crowding": crowding, "shards": {}}
    replica = replace(replica, crowding=crowding)
    for shards in CORES:
        with running(pinned(shards)) as server:
            measured = saturated(server, DRAWN)
            # With two shards the client has no core of its own.
            model = replace(replica, shards=shards, beside=beside + (measured.client if shards > 1 else 0.0))
            predicted = model.saturated()
            late = latencies(server, AT * min(predicted, measured.per_second), bodies, seed)
        model = replace(replica, shards=shards, beside=beside + (late["client"] if shards > 1 else 0.0))
        said = model.at(late["rate"])
        found["shards"][str(shards)] = {
            "predicted_per_second": predicted,
            "measured_per_second": measured.per_second,
            "had": measured.had + (measured.client * measured.per_second if shards > 1 else 0.0),
            "client": measured.client,
            "rate": late["rate"],
            "predicted_p50_ms": said.p50_ms,
            "predicted_p99_ms": said.p99_ms,
            "measured_p50_ms": late["p50_ms"],
            "measured_p99_ms": late["p99_ms"],
            "late_client": late["client"],
        }
        print(shards, {k: round(v, 5) for k, v in found["shards"][str(shards)].items()}, flush=True)
    return found


def curve(timings: Timings, beside: float, crowding: float) -> list[dict[str, Any]]:
    """Highest rate of a replica by shards and target, of which the replicas for any rate follow."""
    spec, rows = read_manifest(MODEL).programs["classify"], []
    for shards in (1, 2, 4):
        replica = Replica(NAME, spec, timings, read_mix(MIX), shards, beside=beside, crowding=crowding)
        for target in (10.0, 20.0, 50.0):
            rows.append({"shards": shards, "p99_ms_wanted": target, **asdict(replica.most(target))})
    return rows


def lateness(timings: Timings, beside: float, crowding: float) -> list[dict[str, Any]]:
    """p99 of one and two shards by load."""
    spec, rows = read_manifest(MODEL).programs["classify"], []
    for shards in (1, 2):
        replica = Replica(NAME, spec, timings, read_mix(MIX), shards, beside=beside, crowding=crowding)
        for part in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
            rows.append({"shards": shards, "load": part, **asdict(replica.at(part * shards / replica.work))})
    return rows


def main(rounds: int = 5) -> None:
    """Write docs/benchmarks/scaling.{json,md,png}."""
    bodies = [path.read_bytes() for path in sorted((ROOT / "examples" / "digits").glob("*.json"))]
    with training_paused():
        os.sched_setaffinity(0, {CLIENT_CORE})
        turns = [one_round(bodies, seed) for seed in range(rounds)]
        os.sched_setaffinity(0, {0, 1})
    middle = sorted(turns, key=lambda one: one["beside"])[rounds // 2]
    timings, beside = read_timings(middle["timings"]), statistics.median(one["beside"] for one in turns)
    crowding = statistics.median(one["crowding"] for one in turns)
    recorded = {
        **described("onnxruntime", "uvicorn"),
        "model": NAME,
        "mix": MIX,
        "clients": CLIENTS,
        "at": AT,
        "beside": beside,
        "crowding": crowding,
        "timings": vars(timings),
        "rounds": turns,
        "most": curve(timings, beside, crowding),
        "lateness": lateness(timings, beside, crowding),
    }
    (OUT / "scaling.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    typer.run(main)
