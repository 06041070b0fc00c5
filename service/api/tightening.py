"""tol=auto: solve every item at the loosest tolerance, then those whose label is not stable at the next, and so on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.api.answers import Solved, classifications
from service.api.errors import ApiError, Code
from service.api.solving import Job, first_solved, note, submit
from service.engine.request import End, Request
from service.engine.stepper import Array


@dataclass(frozen=True)
class Try:
    """One tolerance. Shapes: items [n], ascending, which ones were tried; solved of n items."""

    items: Array
    solved: Solved


async def tighten(job: Job, images: Array) -> tuple[Try, ...]:
    """The tries, loosest first; the first has every item, and each one those that the one before left unstable.

    The next try starts from the states that the first encoded. It is not made where the deadline leaves no time for it:
    the answer is then what was found so far.

    Shapes: images [item, ...].
    Errors: ApiError for what was refused or went wrong.
    """
    wishes, program = job.plan.wishes, job.plan.program
    first = replace(wishes.ways[0].problem(program, images, (), wishes.partial), again=True)
    requests = [await submit(job, [first])]
    tries = [Try(np.arange(len(images)), first_solved(job, requests[0]))]
    for way in wishes.ways[1:]:
        items = unstable(tries[-1])
        # Rows that the deadline kept from starting have no states to go on from, and no time either.
        if not len(items) or requests[0].end is not End.COMPLETED:
            break
        begun = requests[0].begun(items)
        problem = replace(way.problem(program, images[items], (), True), begun=begun)
        request = await _in_time(job, problem)
        if request is None:
            break
        requests.append(request)
        tries.append(Try(items, Solved.of(request)))
    note(job, requests, tol=loosest(tries))
    return tuple(tries)


async def _in_time(job: Job, problem: Any) -> Request | None:
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
