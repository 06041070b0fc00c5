"""How long a request will take: what waits ahead of it, then its attempts in steps shared with others."""

from dataclasses import dataclass

from service.engine.program import ServedProgram


@dataclass(frozen=True)
class Forecast:
    """Predicted seconds until the first row is taken, until the end on average, and at the 99th percentile of NFE."""

    waiting: float
    expected: float
    p99: float

    def since(self, seconds: float) -> "Forecast":
        """The same, told from so many seconds ago."""
        return Forecast(self.waiting + seconds, self.expected + seconds, self.p99 + seconds)


@dataclass(frozen=True)
class Crowd:
    """What a request meets: `waiting` seconds of work ahead of it; then, on each of `shards`, `running` lanes of its
    kind, and `turns` programs (its own among them) that share the shard's time."""

    waiting: float
    running: int
    shards: int
    turns: int


def forecast(
    program: ServedProgram, method: str, tol: float, rows: int, crowd: Crowd, extra_nfe: float = 0.0
) -> Forecast:
    """Of so many rows of a program, each with so many evaluations more than usual."""
    share, width = -(-rows // crowd.shards), program.lanes[method]
    lanes, attempt = min(crowd.running + share, width), program.spec.methods[method]

    def solving(nfe: float) -> float:
        attempts = max(0.0, nfe - attempt.nfe_start) / attempt.nfe_attempt
        # Rows beyond the width follow as lanes come free.
        rounds = max(1.0, share / width)
        return crowd.turns * program.speed.latency(min(share, width), method, attempts * rounds, lanes)

    expected = solving(program.nfe(method, tol) + extra_nfe)
    worst = solving(program.nfe_p99(method, tol) + extra_nfe)
    return Forecast(crowd.waiting, crowd.waiting + expected, crowd.waiting + worst)
