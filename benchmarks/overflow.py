"""Beyond capacity: who is refused, whether Retry-After is right, and whether memory stays."""

import asyncio
import json
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.servers import FLOW, Running, both_models, running
from service.load.arrivals import Arrival, poisson_arrivals
from service.load.client import LoadClient, Outcome

POINTS, TOL = 1_000, "1e-6"
SECONDS, FACTOR = 60, 10
BURST, POLL_SECONDS, POLLS = 300, 0.05, 240
REPEATS = 5


def overflow() -> dict[str, Any]:
    """Ten times what the server can do, for a minute; then bursts that fill the queue, to try what Retry-After says."""
    points = np.random.default_rng(0).normal(0.5, 1.0, (POINTS, 2)).round(4).tolist()
    body = json.dumps({"points": points}).encode()
    with running(both_models()) as server:
        solo = min(outcome.latency for _ in range(3) for outcome in ask(server, body, [Arrival(0.0, TOL, 0)]))
        before, resident = server.resident_mb, [server.resident_mb]
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.2):
                resident.append(server.resident_mb)

        watcher = threading.Thread(target=watch)
        watcher.start()
        outcomes = ask(server, body, poisson_arrivals(FACTOR / solo, SECONDS, (TOL,), 1, seed=0))
        stop.set()
        watcher.join()
        ratios = [retry_ratio(server, body) for _ in range(REPEATS)]
        left = server.metric("lanes_active") + server.metric("queue_depth")
    statuses = [outcome.status for outcome in outcomes]
    return {
        "capacity_per_second": round(1 / solo, 1),
        "sent": len(statuses),
        "ok": statuses.count(200),
        "refused": statuses.count(429),
        "other": sum(status not in (200, 429) for status in statuses),
        "rss_mb_before": before,
        "rss_mb_peak": max(resident),
        "retry_after_over_actual": sorted(round(ratio, 2) for ratio in ratios),
        "left_afterwards": left,
    }


def ask(server: Running, body: bytes, arrivals: list[Arrival]) -> list[Outcome]:
    """Send the same density request at these times."""
    client = LoadClient(urlsplit(server.url), lambda arrival: f"/density?model={FLOW}&tol={arrival.tol}", [body])
    return asyncio.run(client.run(arrivals, lambda done: None))


def retry_ratio(server: Running, body: bytes) -> float:
    """What the first refusal after a burst says, over the time until the same request is let in."""
    burst = [Arrival(0.0, TOL, 0) for _ in range(BURST)]
    polls = [Arrival(1.0 + POLL_SECONDS * k, TOL, 0) for k in range(POLLS)]
    outcomes = ask(server, body, [*burst, *polls])
    # A refusal is known when it comes; an answer was let in when it was asked for.
    refused_at, said = min((o.latency, o.retry_after) for o in outcomes[:BURST] if o.status == 429)
    asked = list(zip(polls, outcomes[BURST:], strict=True))
    admitted_at = next(poll.at for poll, o in asked if o.status == 200 and poll.at > refused_at)
    assert said is not None
    return said / (admitted_at - refused_at)
