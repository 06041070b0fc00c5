"""What is remembered of one request while it is answered: plain data, filled on the way, counted once at the end."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NfeBand:
    """What the calibration leads to expect of a request: mean and 99th percentile of NFE per item.

    Both are what it took where nothing was measured.
    """

    mean: float
    p99: float


@dataclass(frozen=True)
class SolveRecord:
    """Cost of a solve. Units: `nfe` in field evaluations of all rows, `nfe_per_item` their mean; seconds.

    `method`: of the first try. `solve_seconds` begin with the first row and end with the last; `decode_seconds`, at
    their end, is what the decoding of the last rows took. `expected`: of `nfe_per_item`. `loosened`: at another
    tolerance than was asked for, which the request allowed.
    """

    tol: float
    method: str
    items: int
    nfe: int
    nfe_per_item: float
    expected: NfeBand
    queue_seconds: float
    solve_seconds: float
    decode_seconds: float
    predicted_seconds: float
    loosened: bool


@dataclass
class RequestRecord:
    """One request. `status` is `ok`, `partial`, `cancelled` or an error's code; `received` in time.perf_counter().

    `trace_context`: the W3C headers it came with, where requests are traced; `trace_id` once it has been.
    """

    request_id: str
    received: float
    route: str = "none"
    model: str = "none"
    status: str = "ok"
    solve: SolveRecord | None = None
    trace_context: Mapping[str, str] | None = None
    trace_id: str | None = None
