"""What a request that has ended teaches about forecasts."""

import math

from node_model.status import Status
from service.engine.request import End, Request


def learn(request: Request, now: float) -> None:
    """Compare how long it took, from when it was let in until now, with what was forecast then.

    One that missed the deadline which its caller gave took longer than was allowed for, however much longer. One that
    was let in as a probe and kept its deadline shows that what was learned before holds no more.
    """
    promise, program = request.promise, request.problem.program
    if promise is None:
        return
    taken, missed = now - promise.at, _missed(request)
    if missed and promise.strict:
        program.usual.observe(taken / promise.forecast.expected)
        program.worst.observe(math.inf)
    elif request.end is End.COMPLETED and not missed:
        if promise.probe:
            program.doubt()
        program.usual.observe(taken / promise.forecast.expected)
        program.worst.observe(taken / promise.forecast.p99)


def _missed(request: Request) -> bool:
    """Whether rows were cut off by the deadline."""
    if request.end is End.COMPLETED and request.problem.partial:
        return bool((request.solution.status == Status.DEADLINE).any())
    return request.end is End.DEADLINE
