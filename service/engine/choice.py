"""Which tolerance a request gets, of those that it allows: as tight as its deadline and the queue leave room for."""

import math
from collections.abc import Callable, Sequence

from service.engine.forecast import Forecast
from service.engine.request import Problem, QueueFullError

CROWDED, FULL = 0.5, 0.7
"""Parts of the queue's limit from which requests that allow it are solved looser than they asked, and from which as
loosely as they allow. Beyond that there is room for what arrives until it has taken effect."""


class UnreachableDeadlineError(RuntimeError):
    """A request cannot be solved in the time it gives. Units: seconds."""

    def __init__(self, predicted: float, left: float) -> None:
        super().__init__(f"would take about {predicted:.3g} s, and {max(left, 0):.3g} s are left")
        self.predicted = predicted
        self.left = left


def predicted_seconds(problem: Problem, forecast: Forecast, strict: bool) -> float:
    """Until a request ends. `strict`: its caller gave the deadline, so that there must be time even for what the
    slowest requests of this program take; without, only the hopeless is refused."""
    program = problem.program
    return program.worst.factor * forecast.p99 if strict else program.usual.factor * forecast.expected


def nominal_seconds(problem: Problem, forecast: Forecast, strict: bool) -> float:
    """The same as it was foreseen on loading, where nothing runs or waits: without what was learned since."""
    program = problem.program
    longest = program.worst.nominal * forecast.p99 if strict else program.usual.nominal * forecast.expected
    return longest / program.speed.stretch


def choose(
    problems: Sequence[Problem],
    forecast_of: Callable[[Problem], Forecast],
    *,
    left: float,
    limit: float,
    strict: bool,
    refusal_of: Callable[[Problem], QueueFullError | None] = lambda problem: None,
    seconds_of: Callable[[Problem, Forecast, bool], float] = predicted_seconds,
) -> tuple[Problem, Forecast]:
    """The tightest of some ways to solve a request that the queue has room for and that ends in time, looser the more
    work is waiting.

    `problems` come tightest first, and there is at least one.

    Units: seconds; `left` until the deadline, `limit` of the queue.
    Errors: QueueFullError where there is room for none that would be in time; UnreachableDeadlineError where none is.
    """
    first = forecast_of(problems[0])
    begin = _loosened(first.waiting, limit, len(problems))
    predicted, refusal = math.inf, None
    for problem in problems[begin:]:
        forecast = first if problem is problems[0] else forecast_of(problem)
        predicted = seconds_of(problem, forecast, strict)
        if predicted <= left:
            refusal = refusal_of(problem)
            if refusal is None:
                return problem, forecast
    if refusal:
        raise refusal
    raise UnreachableDeadlineError(predicted, left)


def _loosened(waiting: float, limit: float, count: int) -> int:
    """How many of `count` ways are passed over: none up to CROWDED of the limit, all but the loosest from FULL on."""
    if waiting <= CROWDED * limit or count == 1:
        return 0
    crowd = (waiting - CROWDED * limit) / ((FULL - CROWDED) * limit)
    return min(math.ceil(crowd * (count - 1)), count - 1)
