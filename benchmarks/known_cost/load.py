"""Predicted milliseconds, deadlines and max_tol on a server under load."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.servers import Running, ours, running
from service.engine.cost import CostTable
from service.load.arrivals import Arrival, poisson_arrivals
from service.load.client import LoadClient, Outcome

TOLS = ("1e-2", "1e-3", "1e-4", "1e-5")
QUEUE_SECONDS = 5.0
DEADLINES_MS = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
HOPELESS_MS = 1.0
CROWDED_SECONDS = 1.0


def under_load(bodies: Sequence[bytes], cost: CostTable, seconds: float = 30.0) -> dict[str, Any]:
    """All figures, each on a fresh server; loads are shares of what the same client can get out of it."""
    with running(ours()) as server:
        ask(server, bodies, 100, 3, seed=9)
        capacity = saturated(server, bodies)
    figures: dict[str, Any] = {"tols": TOLS, "capacity_per_second": round(capacity, 1)}
    with running(ours()) as server:
        ask(server, bodies, 0.7 * capacity, 10, seed=8)
        usual = ask(server, bodies, 0.7 * capacity, seconds, seed=1)
        figures["predicted_ms"] = predicted(usual)
        figures["at 70 %"] = overload(usual)
        arrivals = poisson_arrivals(0.7 * capacity, seconds, TOLS, len(bodies), seed=2)
        with_deadlines = ask(server, bodies, 0.7 * capacity, seconds, seed=2, query=_drawn_deadline)
        without = ask(server, bodies, 0.7 * capacity, seconds, seed=2)
        figures["deadlines"] = deadlines([_deadline_ms(arrival) for arrival in arrivals], with_deadlines, without)
        figures["hopeless"] = hopeless(ask(server, bodies, 0.7 * capacity, seconds, seed=3, query=_some_hopeless))
    for name, query in (("with max_tol", "&max_tol=1e-1"), ("without", "")):
        with running(ours()) as server:
            ask(server, bodies, 0.5 * capacity, 5, seed=7)
            outcomes = ask(server, bodies, 1.5 * capacity, seconds, seed=4, query=lambda arrival, q=query: q)
            figures[f"overload {name}"] = overload(outcomes)
            if query:
                figures["traded"] = traded(outcomes, cost)
    return figures


def ask(
    server: Running,
    bodies: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    seed: int,
    query: Callable[[Arrival], str] = lambda arrival: "",
) -> list[Outcome]:
    """Poisson arrivals, the tolerances alike; `query` adds parameters."""
    arrivals = poisson_arrivals(rate, seconds, TOLS, len(bodies), seed)
    path = lambda arrival: f"/classify?model=odenet-mnist&tol={arrival.tol}{query(arrival)}"  # noqa: E731
    return asyncio.run(LoadClient(urlsplit(server.url), path, bodies).run(arrivals, lambda done: None))


def saturated(server: Running, bodies: Sequence[bytes], seconds: float = 10.0) -> float:
    """Answers a second when more is asked than can be answered: the rate is raised until waiting shows it."""
    rate = 20.0
    while True:
        outcomes = ask(server, bodies, rate, seconds, seed=5)
        last = [outcome.latency for outcome in outcomes[-len(outcomes) // 10 :] if outcome.status == 200]
        if len(last) < len(outcomes) / 20 or float(np.median(last)) > CROWDED_SECONDS:
            break
        rate *= 1.5
    # What was let in goes on being answered after the last was sent.
    ends = sum(outcome.status == 200 for outcome in outcomes)
    return ends / (seconds + max(outcome.latency for outcome in outcomes if outcome.status == 200))


def predicted(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Milliseconds that were predicted on admission, over those that it took."""
    ratios = {
        tol: [o.timing["predicted"] / o.timing["total"] for o in outcomes if o.status == 200 and o.tol == tol]
        for tol in TOLS
    }
    everything = [ratio for some in ratios.values() for ratio in some]
    return {
        "answers": len(everything),
        "off_by_median": _off_by(everything),
        "off_by_median_by_tol": {tol: _off_by(some) for tol, some in ratios.items()},
        "median": round(float(np.median(everything)), 3),
        "p10": round(float(np.percentile(everything, 10)), 3),
        "p90": round(float(np.percentile(everything, 90)), 3),
        "median_by_tol": {tol: round(float(np.median(some)), 3) for tol, some in ratios.items()},
        "taken_p50_ms": _percentile([o.timing["total"] for o in outcomes if o.status == 200], 50),
    }


def _off_by(ratios: Sequence[float]) -> float:
    """Median distance of predicted from taken, as a part of the latter."""
    return round(float(np.median(np.abs(np.array(ratios) - 1))), 3)


def _drawn_deadline(arrival: Arrival) -> str:
    return f"&deadline_ms={_deadline_ms(arrival):g}"


def _deadline_ms(arrival: Arrival) -> float:
    """One of the deadlines, the same for an arrival whenever it is asked."""
    return DEADLINES_MS[int(1e6 * arrival.at) % len(DEADLINES_MS)]


def deadlines(asked_ms: Sequence[float], outcomes: Sequence[Outcome], without: Sequence[Outcome]) -> dict[str, Any]:
    """Of the requests that were let in, who was answered in time, by the server's clock and by the client's; and of
    those that were refused, how many took no longer than that when the same traffic came without deadlines."""
    pairs = list(zip(asked_ms, outcomes, without, strict=True))
    refused = [(ms, other) for ms, o, other in pairs if o.status == 504 and "total" not in o.timing]
    admitted = [(ms, o) for ms, o, _ in pairs if o.status in (200, 504) and "total" in o.timing]
    kept = [o for ms, o in admitted if o.status == 200 and o.timing["total"] <= ms]
    kept_for_client = [o for ms, o in admitted if o.status == 200 and 1e3 * (o.latency - max(0.0, o.late)) <= ms]
    feasible = [other for ms, other in refused if other.status == 200 and other.timing["total"] <= ms]
    return {
        "sent": len(outcomes),
        "refused_at_once": round(len(refused) / len(outcomes), 4),
        "refused_but_feasible": round(len(feasible) / max(1, len(refused)), 4),
        "kept_of_those_let_in": round(len(kept) / max(1, len(admitted)), 5),
        "kept_by_the_clients_clock": round(len(kept_for_client) / max(1, len(admitted)), 5),
        "queue_full": sum(o.status == 429 for o in outcomes),
    }


def _some_hopeless(arrival: Arrival) -> str:
    """Every tenth asks for what cannot be."""
    return f"&deadline_ms={HOPELESS_MS:g}" if int(1e6 * arrival.at) % 10 == 0 else ""


def hopeless(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How soon those are told, who asked for the impossible."""
    told = [1e3 * (o.latency - max(0.0, o.late)) for o in outcomes if o.status == 504]
    return {"refused": len(told), "p50_ms": _percentile(told, 50), "p99_ms": _percentile(told, 99)}


def overload(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What becomes of requests at half as much again as can be answered."""
    ok = [o for o in outcomes if o.status == 200]
    return {
        "sent": len(outcomes),
        "answered": round(len(ok) / len(outcomes), 4),
        "refused_429": sum(o.status == 429 for o in outcomes),
        "other": sum(o.status not in (200, 429) for o in outcomes),
        "p50_ms": _percentile([1e3 * o.latency for o in ok], 50),
        "p99_ms": _percentile([1e3 * o.latency for o in ok], 99),
        "times_ms": [_percentile([1e3 * o.latency for o in ok], q) for q in range(101)],
    }


def traded(outcomes: Sequence[Outcome], cost: CostTable) -> dict[str, Any]:
    """What was used for each tolerance asked for, and the calibrated p99 error of both."""

    def error(tol: float) -> float:
        return cost.error_p99(cost.cheapest_method(tol, tol), tol) or math.nan

    found = {}
    for tol in TOLS:
        used = [round(o.used_tol, 12) for o in outcomes if o.status == 200 and o.tol == tol and o.used_tol]
        found[tol] = {
            "used": {f"{one:g}": used.count(one) for one in sorted(set(used))},
            "asked_p99": float(f"{error(float(tol)):.3g}"),
            "used_p99": float(f"{np.mean([error(one) for one in used]):.3g}"),
        }
    return found


def image_bodies(images: Any, items: int, count: int = 200) -> list[bytes]:
    """JSON of so many images each."""
    rows = images[: count * items].round(4)
    return [json.dumps({"images": rows[k * items : (k + 1) * items].tolist()}).encode() for k in range(count)]


def _percentile(values: Sequence[float], percentile: float) -> float | None:
    return round(float(np.percentile(values, percentile)), 2) if values else None
