"""What is remembered of one request while it is answered: plain data, filled on the way, counted once at the end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SolveRecord:
    """Cost of a solve. Units: `nfe` in field evaluations of all rows, `nfe_per_item` their mean; seconds.

    `loosened`: at another tolerance than was asked for, which the request allowed.
    """

    tol: float
    nfe: int
    nfe_per_item: float
    queue_seconds: float
    solve_seconds: float
    predicted_seconds: float
    loosened: bool


@dataclass
class RequestRecord:
    """One request. `status` is `ok`, `partial`, `cancelled` or an error's code; `received` in time.perf_counter()."""

    request_id: str
    received: float
    route: str = "none"
    model: str = "none"
    status: str = "ok"
    solve: SolveRecord | None = None
