"""Answers of tol=auto in every form."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
from starlette.responses import Response

from service.api.accept import Form
from service.api.answers import Solved, classifications
from service.api.asked import Asked
from service.api.errors import ApiError, Code
from service.api.forms import wanted_form
from service.api.ndjson import LinesResponse, Parts, conclude, line
from service.api.npy import array_response, probabilities
from service.api.responses import Items
from service.api.running import Running
from service.api.solving import Job, answer
from service.api.tightening import Try, joined, loosest, tighten, tightened_classifications, unstable
from service.engine.request import End
from service.engine.stepper import Array


async def respond_tightened(job: Job, images: Array, labels: tuple[str, ...]) -> Response:
    """Each image at the loosest tolerance at which its label is stable.

    Shapes: images [item, ...].
    Errors: ApiError for what was refused or went wrong.
    """
    form = wanted_form(job)
    if form is Form.LINES:
        return _lines(job, images, labels)
    tries = await tighten(job, images)
    if form is Form.ARRAY:
        return array_response(job, _probabilities(tries), {})
    predictions = Items(len(images), lambda a, b: tightened_classifications(tries, labels, a, b))
    return answer(job, {"predictions": predictions})


def _probabilities(tries: Sequence[Try]) -> Array:
    """Each item's from its last try that went well. Shapes: -> [item, class]."""
    found = probabilities(tries[0].solved)
    for tried in tries[1:]:
        found[tried.items[tried.solved.ok]] = probabilities(tried.solved)[tried.solved.ok]
    return found


def _lines(job: Job, images: Array, labels: tuple[str, ...]) -> Response:
    """An item's line when it is settled: stable, failed, or nothing tighter to try. Errors: ApiError."""
    wishes, program = job.plan.wishes, job.plan.program
    first = replace(wishes.ways[0].problem(program, images, (), True), again=True)
    running = Running(job, [first])
    asked = Asked(images, lambda solved: classifications(solved, labels))

    async def parts() -> Parts:
        before: dict[int, dict[str, Any]] = {}
        tries, requests, current = [], [running.request], running
        numbers = np.arange(len(images))
        for way in (*wishes.ways[1:], None):
            async with aclosing(current.items()) as ended:
                async for some in ended:
                    solved = asked.some(current.request, some)
                    settled = _settled(solved, final=way is None)
                    lines = []
                    told = zip(numbers[some].tolist(), asked.told(solved), settled.tolist(), strict=True)
                    for item, prediction, done in told:
                        whole = joined(before.pop(item, {}), prediction)
                        if done:
                            lines.append(line(item, whole))
                        else:
                            before[item] = whole
                    if lines:
                        yield lines
            tries.append(Try(numbers, Solved.of(current.request)))
            following = unstable(tries[-1])
            if way is None or not len(following) or current.request.end is not End.COMPLETED:
                break
            problem = replace(way.problem(program, images[following], (), True), begun=requests[0].begun(following))
            try:
                current = Running(job, [problem])
            except ApiError as error:
                if error.code is not Code.DEADLINE:
                    raise
                break
            requests.append(current.request)
            numbers = following
        if before:
            yield [line(item, whole) for item, whole in before.items()]
        conclude(job, requests, tol=loosest(tries))

    return LinesResponse(job, parts, asked)


def _settled(solved: Solved, final: bool) -> Array:
    """Items that no further try is made for. Shapes: -> [item] bool."""
    stable = solved.stable
    return np.ones(len(solved), bool) if final or stable is None else stable | ~solved.ok
