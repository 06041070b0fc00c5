"""How long a request will take: what waits ahead of it, then its attempts in steps shared with others."""

import math
from dataclasses import dataclass

from service.engine.program import ServedProgram


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds until the first row is taken, until the end on average, and at the 99th percentile of NFE."""

    waiting: float
    expected: float
    p99: float


@dataclass(frozen=True)
class Promise:
    """What was expected of a request when it was let in, `at` that time.

    `usual`: seconds from then until the end, which half of those forecast alike keep. `strict`: its caller gave the
    deadline. `probe`: what was learned of late would have kept it out.
    """

    at: float
    forecast: Forecast
    usual: float
    strict: bool = False
    probe: bool = False


@dataclass(frozen=True)
class Crowd:
    """What a request meets: `waiting` seconds of work ahead of it; then, on each of `shards`, `running` lanes of its
    kind, and `turns` programs (its own among them) that share the shard's time."""

    waiting: float
    running: int
    shards: int
    turns: int


def forecast(
    program: ServedProgram,
    method: str,
    tol: float,
    rows: int,
    crowd: Crowd,
    *,
    extra_nfe: float = 0.0,
    most_nfe: float = math.inf,
    encoded: bool = False,
) -> Forecast:
    """Of so many rows of a program, each with so many evaluations more than usual and at most so many. `encoded`: they
    were, earlier."""
    share, width = -(-rows // crowd.shards), program.lanes[method]
    lanes, attempt = min(crowd.running + share, width), program.spec.methods[method]

    def solving(nfe: float) -> float:
        attempts = max(0.0, min(nfe + extra_nfe, most_nfe) - attempt.nfe_start) / attempt.nfe_attempt
        # Rows beyond the width follow as lanes come free.
        rounds = max(1.0, share / width)
        starting = 0 if encoded else min(share, width)
        return crowd.turns * program.speed.latency(starting, method, attempts * rounds, lanes)

    expected, worst = solving(program.nfe(method, tol)), solving(program.nfe_p99(method, tol))
    return Forecast(crowd.waiting, crowd.waiting + expected, crowd.waiting + worst)
