"""What a step was and how things stand: plain data for whoever keeps the books."""

from dataclasses import dataclass


@dataclass
class Tally:
    """What was done since the last report.

    `issued` and `useful` in lane evaluations: useful are those of rows that ended and whose caller still waits, counted
    when they end. `accepted` and `rejected` in steps of a lane. Units: seconds in the backend.
    """

    issued: int = 0
    useful: int = 0
    accepted: int = 0
    rejected: int = 0
    backend_seconds: float = 0.0


@dataclass(frozen=True)
class StepReport:
    """One turn of a shard: `lanes` made an attempt. Units: seconds, of the whole turn."""

    model: str
    method: str
    shard: int
    lanes: int
    seconds: float
    tally: Tally


@dataclass(frozen=True)
class EngineState:
    """How the engine stands. Lanes by (model, shard); heartbeats by shard, in seconds since the epoch.

    Units: queued_seconds, predicted until all that waits has been taken.
    """

    queue_depth: int
    queued_seconds: float
    lanes_active: dict[tuple[str, int], int]
    lanes_capacity: dict[tuple[str, int], int]
    heartbeats: tuple[float, ...]
