"""Does the capacity model foretell what a server does, and what follows for a million requests a second?

Where other programs take a part of the cores, so much less is to be expected: what was left by them is recorded. A core
that the server itself leaves idle counts as its own. Step times are measured again around each load, since a host that
others use is not always as fast.

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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import typer

from benchmarks.machine import described, training_paused
from benchmarks.scaling.report import write
from benchmarks.servers import ROOT, Running, ServerSpec, ours, running
from benchmarks.wrk import load
from node_model.manifest import read_manifest
from service.capacity.interpreter import interpreter_seconds
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
REST_SECONDS = 2.0
"""Until what those clients left behind has ended."""
AT = 0.6
LIKELY = 0.8
"""Of what cores can do in full steps: latencies are asked at AT of that at most, though a good moment gave more."""
CORES = {1: (0,), 2: (0, 1)}
"""Of a server with so many shards."""
CLIENT_CORE = 1
CLIENT_NICE, SERVER_NICE = -10, -5
"""Before other programs, and the client before the server: latencies are to be the server's."""
HURRY = ("nice", "-n", str(SERVER_NICE - CLIENT_NICE))

Loaded = TypeVar("Loaded")


def confined(shards: int) -> tuple[str, ...]:
    """To as many cores."""
    return ("taskset", "-c", ",".join(map(str, CORES[shards])))


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
    command = [*HURRY, *confined(1), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return read_timings(json.loads(done.stdout.splitlines()[-1]))


def read_timings(recorded: dict[str, Any]) -> Timings:
    """From JSON, where all keys are text."""
    steps = {method: {int(n): s for n, s in seconds.items()} for method, seconds in recorded["steps"].items()}
    return Timings(recorded["start"], steps, recorded["lanes"])


def pinned(shards: int) -> ServerSpec:
    """A server that has as many cores as shards."""
    spec = ours(SHARDS=shards)
    return replace(spec, command=(*HURRY, *confined(shards), *spec.command))


@dataclass(frozen=True)
class Saturated:
    """Under clients that always ask again: answers a second; processor seconds of the server and of the generator of
    the load for each answer; cores that other programs left of those that the server was given."""

    per_second: float
    server: float
    client: float
    left: float


def saturated(server: Running, shards: int, tols: Sequence[str]) -> Saturated:
    """After warming up."""
    load(server.url, clients=CLIENTS, seconds=WARM_SECONDS, tols=tuple(tols))
    children, used, busy, begun = _children_seconds(), server.cpu_seconds, _busy_seconds(shards), time.monotonic()
    found = load(server.url, clients=CLIENTS, seconds=SECONDS, tols=tuple(tols))
    seconds, used = time.monotonic() - begun, server.cpu_seconds - used
    children, busy = _children_seconds() - children, _busy_seconds(shards) - busy
    others = busy - used - (children if CLIENT_CORE in CORES[shards] else 0.0)
    answers = found.per_second * SECONDS
    return Saturated(found.per_second, used / answers, children / answers, shards - max(0.0, others) / seconds)


def _busy_seconds(shards: int) -> float:
    """Of the cores of so many shards, whoever had them, other guests of the host included."""
    lines = dict(line.split(maxsplit=1) for line in Path("/proc/stat").read_text().splitlines())
    used = 0
    for core in CORES[shards]:
        user, nice, system, _, _, irq, softirq, steal = map(int, lines[f"cpu{core}"].split()[:8])
        used += user + nice + system + irq + softirq + steal
    return used / os.sysconf("SC_CLK_TCK")


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


class Pace:
    """How many times as long as by the `first` step times everything takes at the moment, where other guests of the
    host come and go."""

    def __init__(self, first: Timings) -> None:
        self._first, self._before = _evaluation(first), 1.0

    def during(self, load: Callable[[], Loaded]) -> tuple[Loaded, float]:
        """What a load found, and the pace before and after it on an average."""
        found, before = load(), self._before
        self._before = _evaluation(measured_timings()) / self._first
        return found, (before + self._before) / 2


def _evaluation(timings: Timings) -> float:
    """Of a lane, over all methods. Units: seconds."""
    methods = read_manifest(MODEL).programs["classify"].methods
    return statistics.mean(timings.evaluation(name, methods[name].nfe_attempt) for name in timings.lanes)


def one_round(bodies: Sequence[bytes], seed: int) -> dict[str, Any]:
    """Everything once, the model first."""
    timings, interpreter = measured_timings(), interpreter_seconds()
    pace = Pace(timings)
    replica = Replica(NAME, read_manifest(MODEL).programs["classify"], timings, read_mix(MIX), 1, beside=0.0)
    single, slow_single = pace.during(lambda: _alone(1))
    double, slow_double = pace.during(lambda: _alone(2))
    solving = replace(replica, mix=Mix((float(SINGLE),), (1.0,))).work
    beside = single.server / slow_single - solving
    # By the clock: while its threads wait for each other the server leaves a core idle, and is no faster for it.
    each = (double.left / double.per_second - double.client) / slow_double
    crowding = max(0.0, each / (solving + beside) - 1)
    found: dict[str, Any] = {
        "timings": vars(timings),
        "interpreter": interpreter,
        "single": asdict(single),
        "double": asdict(double),
    }
    found |= {"pace": [slow_single, slow_double], "beside": beside, "crowding": crowding, "shards": {}}
    replica = replace(replica, crowding=crowding)
    for shards in CORES:
        likely = LIKELY * shards / (replica.work + beside)
        loads, slow = pace.during(partial(_mixed, shards, likely, bodies, seed))
        found["shards"][str(shards)] = _compared(replace(replica, shards=shards), loads, slow, beside)
        print(shards, {k: round(v, 5) for k, v in found["shards"][str(shards)].items()}, flush=True)
    return found


def _alone(shards: int) -> Saturated:
    with running(pinned(shards)) as server:
        return saturated(server, shards, (SINGLE,))


def _mixed(shards: int, most: float, bodies: Sequence[bytes], seed: int) -> tuple[Saturated, dict[str, float]]:
    """Latencies at a part of what was answered, or of `most`."""
    with running(pinned(shards)) as server:
        found = saturated(server, shards, DRAWN)
        time.sleep(REST_SECONDS)
        return found, latencies(server, AT * min(most, found.per_second), bodies, seed)


def _compared(
    replica: Replica, loads: tuple[Saturated, dict[str, float]], slow: float, beside: float
) -> dict[str, float]:
    """What the model says at that pace beside what was measured."""
    measured, late = loads
    # With two shards the client has no core of its own.
    asking = (measured.client, late["client"]) if replica.shards > 1 else (0.0, 0.0)
    full, part = (
        replace(replica, timings=replica.timings.stretched(slow), beside=slow * beside + one) for one in asking
    )
    said = part.at(late["rate"])
    return {
        "pace": slow,
        "predicted_per_second": full.saturated(),
        "measured_per_second": measured.per_second,
        "left": measured.left,
        "used": measured.server * measured.per_second,
        "client": measured.client,
        "rate": late["rate"],
        "predicted_p50_ms": said.p50_ms,
        "predicted_p99_ms": said.p99_ms,
        "measured_p50_ms": late["p50_ms"],
        "measured_p99_ms": late["p99_ms"],
        "late_client": late["client"],
    }


def curve(timings: Timings, beside: float, crowding: float) -> list[dict[str, Any]]:
    """Highest rate of a replica of one shard by target, of which the replicas for any rate follow."""
    spec = read_manifest(MODEL).programs["classify"]
    replica = Replica(NAME, spec, timings, read_mix(MIX), 1, beside=beside, crowding=crowding)
    return [{"p99_ms_wanted": target, **asdict(replica.most(target))} for target in (10.0, 20.0, 50.0)]


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
    os.setpriority(os.PRIO_PROCESS, 0, CLIENT_NICE)
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
        "interpreter": statistics.median(one["interpreter"] for one in turns),
        "timings": vars(timings),
        "rounds": turns,
        "most": curve(timings, beside, crowding),
        "lateness": lateness(timings, beside, crowding),
    }
    (OUT / "scaling.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    typer.run(main)
