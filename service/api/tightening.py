"""tol=auto: solve every item at the loosest tolerance, then those whose label is not stable at the next, and so on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.api.answers import Solved, classifications
from service.api.errors import ApiError, Code
from service.api.solving import Job, first_solved, note, submit
from service.api.wishes import Choice
from service.engine.request import End, Problem, Request
from service.engine.stepper import Array

FEW_NUMBERS = 200_000
"""Of states: up to here copying them takes well under a millisecond and stays on the event loop."""


@dataclass(frozen=True)
class Try:
    """One tolerance. Shapes: items [n], ascending, which ones were tried; solved of n items."""

    items: Array
    solved: Solved


class Tries:
    """The tries of a request, what each leaves to settle, and what is left of every item's budget.

    Shapes: images [item, ...].
    """

    def __init__(self, job: Job, images: Array, partial: bool) -> None:
        wishes = job.plan.wishes
        self._program, self._images, self._partial = job.plan.program, images, partial
        self._left = np.full(len(images), wishes.max_nfe or job.context.settings.max_nfe)
        self._items = np.arange(len(images))
        self.made: list[Try] = []
        self.requests: list[Request] = []

    @property
    def items(self) -> Array:
        """Which ones the next try to be noted has. Shapes: -> [n], ascending."""
        return self._items

    def first(self, way: Choice) -> Problem:
        """Every item, from the start."""
        return replace(way.problem(self._program, self._images, (), self._partial), again=True)

    def add(self, request: Request) -> None:
        """A try has ended."""
        solved = Solved.of(request)
        self._left[self._items] -= solved.solution.nfe
        self.made.append(Try(self._items, solved))
        self.requests.append(request)

    async def following(self, way: Choice) -> Problem | None:
        """The items that the last try left unstable, from the states that the first one encoded, and with what is left
        of their budgets; None when there are none.

        An item with too little left for an attempt keeps the answer it has.
        """
        if self.requests[-1].end is not End.COMPLETED:
            return None
        items = unstable(self.made[-1])
        items = items[self._left[items] >= self._program.spec.methods[way.method].nfe_attempt]
        if not len(items):
            return None
        if len(items) * self._program.spec.dim <= FEW_NUMBERS:
            problem = self._resumed(way, items)
        else:
            problem = await asyncio.to_thread(self._resumed, way, items)
        self._items = items
        return problem

    def _resumed(self, way: Choice, items: Array) -> Problem:
        begun = self.requests[-1].begun(np.searchsorted(self._items, items))
        problem = way.problem(self._program, self._images[items], (), True)
        return replace(problem, begun=begun, left_nfe=np.minimum(self._left[items], way.max_nfe))


async def tighten(job: Job, images: Array) -> tuple[Try, ...]:
    """The tries, loosest first; the first has every item, and each one those that the one before left unstable.

    Another try is not made where the deadline leaves no time for it: the answer is then what was found so far.

    Shapes: images [item, ...].
    Errors: ApiError for what was refused or went wrong.
    """
    wishes = job.plan.wishes
    tries = Tries(job, images, wishes.partial)
    request = await submit(job, [tries.first(wishes.ways[0])])
    first_solved(job, request)
    tries.add(request)
    for way in wishes.ways[1:]:
        problem = await tries.following(way)
        further = problem and await _in_time(job, problem)
        if not further:
            break
        tries.add(further)
    note(job, tries.requests, tol=loosest(tries.made))
    return tuple(tries.made)


async def _in_time(job: Job, problem: Problem) -> Request | None:
    """A further try; None where there is no time for it. Errors: ApiError."""
    try:
        request = await submit(job, [problem])
    except ApiError as error:
        if error.code is Code.DEADLINE:
            return None
        raise
    if request.end in (End.STOPPED, End.FAULT):
        first_solved(job, request)
    return request


def unstable(last: Try) -> Array:
    """Items that another try may settle. Shapes: -> [m], ascending."""
    stable = last.solved.stable
    assert stable is not None  # noqa: S101 - auto needs calibrated margins
    return last.items[last.solved.ok & ~stable]


def loosest(tries: Sequence[Try]) -> float:
    """The loosest tolerance that an item's answer comes from."""
    final = np.zeros(len(tries[0].items), np.int64)
    for number, tried in enumerate(tries[1:], 1):
        final[tried.items[tried.solved.ok]] = number
    return tries[int(final.min())].solved.loosest


def tightened_classifications(tries: tuple[Try, ...], labels: tuple[str, ...], a: int, b: int) -> list[dict[str, Any]]:
    """`predictions` of items a to b: each from its last try that went well, `nfe` and `attempts` over all of them."""
    found: list[dict[str, Any]] = [{}] * (b - a)
    for tried in tries:
        first, last = np.searchsorted(tried.items, (a, b)).tolist()
        for item, prediction in zip(
            tried.items[first:last].tolist(), classifications(tried.solved[first:last], labels), strict=True
        ):
            found[item - a] = joined(found[item - a], prediction)
    return found


def joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """An item's answer after a further try."""
    earlier, solver = before.get("solver", {}), after["solver"]
    told = {name: solver[name] for name in ("method", "rtol", "nfe", "accepted", "rejected")}
    attempts = [*earlier.get("attempts", ()), {"tol": told.pop("rtol"), **told, "status": after["status"]}]
    best = after if not before or after["status"] == "ok" else before
    nfe = earlier.get("nfe", 0) + solver["nfe"]
    return {**best, "solver": {**best["solver"], "nfe": nfe, "attempts": attempts}}
