"""From a request that has been read to its solved rows: what the engine is asked, and what its refusals become."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from node_model.status import Status
from service.api.answers import Solved, failure_of
from service.api.context import Context, Plan, record_of
from service.api.errors import ApiError, Code
from service.api.middleware import CancelledWhenLeft
from service.api.responses import answer_response
from service.engine.choice import UnreachableDeadlineError
from service.engine.request import End, Problem, QueueFullError, Request
from service.engine.runner import Pending
from service.engine.stepper import Array
from service.record import NfeBand, RequestRecord, SolveRecord


@dataclass(frozen=True)
class Job:
    """A request whose query has been read."""

    context: Context
    request: HttpRequest
    plan: Plan

    @property
    def record(self) -> RequestRecord:
        """What is remembered of it."""
        return record_of(self.request)


async def solve_problems(job: Job, problems: Sequence[Problem], rows_per_item: int = 1) -> Solved:
    """Have the engine solve rows in one of several ways, and note what they cost.

    Errors: ApiError for what was refused or went wrong.
    """
    return first_solved(job, await submit(job, problems), rows_per_item)


async def submit(job: Job, problems: Sequence[Problem]) -> Request:
    """The request once it has ended. Errors: ApiError for what was refused."""
    seconds, received, strict = _seconds(job), job.record.received, job.plan.wishes.deadline is not None
    try:
        async with CancelledWhenLeft(job.request):
            return await job.context.runner.solve(
                problems, received=received, deadline=received + seconds, strict=strict
            )
    except (QueueFullError, UnreachableDeadlineError) as error:
        raise _refusal(error, job, problems) from error


def begin(job: Job, problems: Sequence[Problem], told: Callable[[Array], None]) -> Pending:
    """A request that was let in; `told` is called with the numbers of its rows as they end.

    Errors: ApiError for what was refused.
    """
    seconds, received, strict = _seconds(job), job.record.received, job.plan.wishes.deadline is not None
    try:
        return job.context.runner.submit(
            problems, received=received, deadline=received + seconds, strict=strict, told=told
        )
    except (QueueFullError, UnreachableDeadlineError) as error:
        raise _refusal(error, job, problems) from error


def _seconds(job: Job) -> float:
    """Until a request's deadline, from its arrival."""
    given = job.plan.wishes.deadline
    return job.context.settings.max_seconds if given is None else given


def first_solved(job: Job, request: Request, rows_per_item: int = 1) -> Solved:
    """What became of the rows, noted. Errors: ApiError for what went wrong."""
    note(job, [request], rows_per_item)
    failure = failure_of(request, rows_per_item)
    if failure:
        failure.headers |= cost_headers(job, timing(job.record))
        raise failure
    solved = Solved.of(request)
    if not solved.ok.all():
        job.record.status = "partial"
    return solved


def note(job: Job, requests: Sequence[Request], rows_per_item: int = 1, tol: float | None = None) -> None:
    """Write down what a request cost, in one try or several. `tol`: the loosest used, if not that of the first."""
    first = requests[0]
    nfe = sum(int(request.solution.nfe.sum()) for request in requests)
    items = len(first.problem) // rows_per_item
    job.record.solve = SolveRecord(
        tol=tol or first.problem.loosest,
        method=first.problem.method,
        items=items,
        nfe=nfe,
        nfe_per_item=nfe / items,
        expected=_expected(requests, items, nfe),
        queue_seconds=first.queue_seconds,
        solve_seconds=sum(request.solve_seconds for request in requests),
        decode_seconds=requests[-1].decode_seconds,
        predicted_seconds=_predicted(requests),
        loosened=first.problem.loosest > max(job.plan.wishes.ways[0].rtol, job.plan.wishes.ways[0].atol),
    )


def _predicted(requests: Sequence[Request]) -> float:
    """Of all tries together, as each was let in."""
    return requests[0].predicted + sum(request.promise.usual for request in requests[1:] if request.promise)


def _expected(requests: Sequence[Request], items: int, nfe: int) -> NfeBand:
    """What the calibration leads to expect of the tries of a request, each with as many rows as it had.

    Rows that were not all solved may have cost anything up to that. `nfe`: what all of it took.
    """
    mean = p99 = 0.0
    for request in requests:
        problem = request.problem
        cost, rows = problem.program.cost, len(problem) / items
        row_mean, row_p99 = (
            cost.nfe_mean(problem.method, problem.tightest),
            cost.nfe_p99(problem.method, problem.tightest),
        )
        if row_mean is None or row_p99 is None:
            return NfeBand(nfe / items, nfe / items)
        mean += rows * row_mean if _whole(request) else 0.0
        p99 += rows * row_p99
    return NfeBand(mean, p99)


def _whole(request: Request) -> bool:
    """Whether every row came to its end."""
    partial = request.problem.partial
    return request.end is End.COMPLETED and not (partial and (request.solution.status != Status.OK).any())


def answer(job: Job, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """The answer of a solve, with its headers."""
    manifest, taken = job.plan.model.manifest, timing(job.record)
    body = {"model": manifest.name, "version": manifest.version, **content, "timing_ms": taken}
    return answer_response(body, cost_headers(job, taken) | (headers or {}))


def timing(record: RequestRecord) -> dict[str, float]:
    """Milliseconds of a solve."""
    solve = record.solve
    assert solve is not None  # noqa: S101 - it was solved
    total = time.perf_counter() - record.received
    seconds = {
        "queue": solve.queue_seconds,
        "solve": solve.solve_seconds,
        "total": total,
        "predicted": solve.predicted_seconds,
    }
    return {name: round(1e3 * value, 3) for name, value in seconds.items()}


def cost_headers(job: Job, taken: dict[str, float]) -> dict[str, str]:
    """What a solve cost, for those who do not read bodies."""
    solve = job.record.solve
    assert solve is not None  # noqa: S101 - it was solved
    return {
        "X-NFE": str(solve.nfe),
        "X-Tol": f"{solve.tol:g}",
        "Server-Timing": ", ".join(f"{name};dur={value}" for name, value in taken.items()),
    }


def _refusal(error: QueueFullError | UnreachableDeadlineError, job: Job, problems: Sequence[Problem]) -> ApiError:
    return _queue_full(error) if isinstance(error, QueueFullError) else _unreachable(error, job, problems)


def _queue_full(error: QueueFullError) -> ApiError:
    seconds = math.ceil(error.retry_after)
    details = {"waiting_seconds": round(error.waiting, 3), "retry_after_seconds": seconds}
    return ApiError(Code.QUEUE_FULL, str(error), details, {"Retry-After": str(max(1, seconds))})


def _unreachable(error: UnreachableDeadlineError, job: Job, problems: Sequence[Problem]) -> ApiError:
    seconds = {"predicted": error.predicted, "left": max(0.0, error.left), "deadline": _seconds(job)}
    details = {f"{name}_ms": round(1e3 * value, 3) for name, value in seconds.items()}
    message = (
        f"would take up to {details['predicted_ms']:g} ms, and {details['left_ms']:g} ms of the deadline's "
        f"{details['deadline_ms']:g} ms are left; {_advice(job, problems)}"
    )
    return ApiError(Code.DEADLINE, message, {**details, "nfe": 0})


def _advice(job: Job, problems: Sequence[Problem]) -> str:
    """What a caller may do about a deadline, of what is possible."""
    wishes, loosest = job.plan.wishes, job.plan.program.spec.tol.loosest
    advice = ["give more time"] if wishes.deadline is not None else []
    if len(problems[0]) > 1:
        advice.append("ask for fewer items at once")
    if not wishes.auto and problems[-1].loosest < loosest:
        advice.append("raise max_tol" if len(problems) > 1 else "loosen tol, or allow a looser one by max_tol")
    return "; or ".join(advice) or "ask again when less is going on"
