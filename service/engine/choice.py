"""Which tolerance a request gets, of those that it allows: as tight as its deadline and the queue leave room for."""

import math
from collections.abc import Callable, Sequence

from service.engine.forecast import Forecast
from service.engine.request import Problem

CROWDED = 0.5
"""Part of the queue's limit from which requests that allow it are solved looser than they asked."""


class UnreachableDeadlineError(RuntimeError):
    """A request cannot be solved in the time it gives. Units: seconds."""

    def __init__(self, predicted: float, left: float) -> None:
        super().__init__(f"would take about {predicted:.3g} s, of which {max(left, 0):.3g} s are left")
        self.predicted = predicted
        self.left = left


def choose(
    problems: Sequence[Problem], forecast_of: Callable[[Problem], Forecast], *, left: float, limit: float, strict: bool
) -> tuple[Problem, Forecast]:
    """The tightest of some ways to solve a request that ends in time, looser the more work is waiting.

    `problems` come tightest first, and there is at least one. `strict`: the caller gave the deadline, so that there
    must be time even for what the slowest requests of this program take; without, only the hopeless is refused.

    Units: seconds; `left` until the deadline, `limit` of the queue.
    Errors: UnreachableDeadlineError.
    """
    first = forecast_of(problems[0])
    begin = _loosened(first.waiting, limit, len(problems))
    predicted = math.inf
    for problem in problems[begin:]:
        forecast = first if problem is problems[0] else forecast_of(problem)
        program = problem.program
        predicted = program.worst.factor * forecast.p99 if strict else program.usual.factor * forecast.expected
        if predicted <= left:
            return problem, forecast
    raise UnreachableDeadlineError(predicted, left)


def _loosened(waiting: float, limit: float, count: int) -> int:
    """How many of `count` ways are passed over: none up to half the limit, all but the loosest at the limit."""
    if waiting <= CROWDED * limit or count == 1:
        return 0
    crowd = (waiting - CROWDED * limit) / ((1 - CROWDED) * limit)
    return min(math.ceil(crowd * (count - 1)), count - 1)
