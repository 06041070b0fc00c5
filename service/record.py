"""What is remembered of one request while it is answered: plain data, filled on the way, counted once at the end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SolveRecord:
    """Cost of a solve. Units: `nfe_per_item` and `evaluations` in field evaluations of one lane."""

    method: str
    tol: float
    nfe_per_item: float
    accepted: int
    rejected: int
    evaluations: int


@dataclass
class RequestRecord:
    """One request. `status` is `ok`, `partial`, `cancelled` or an error's code; `received` in time.perf_counter()."""

    request_id: str
    received: float
    route: str = "none"
    model: str = "none"
    status: str = "ok"
    solve: SolveRecord | None = None
