"""What a request wants solved and how its answer reads: the same for every form of the answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.api.answers import Solved
from service.api.responses import LARGE, Items
from service.api.solving import Job, solve_problems
from service.engine.request import Problem, Request
from service.engine.stepper import Array
from service.engine.trace import Show

Told = Callable[[Solved], list[dict[str, Any]]]


@dataclass(frozen=True)
class Asked:
    """Rows to solve, and what is told of them.

    `told` gives a dictionary for each item; `content` the lists of a JSON answer, where it is more than a list of those
    under `listed`; `array` the numbers alone, one entry for each item; `extra` what is told once. `merged` makes one
    item of each `rows_per_item` rows. `stops` and `show` as in the engine's Problem; `most_nfe` caps a row's budget.
    `at_once`: how many items may be told without a pause.

    Shapes: inputs, args [row, ...]; stops [stop].
    """

    inputs: Array
    told: Told
    args: tuple[Array, ...] = ()
    listed: str = "predictions"
    content: Callable[[Solved], dict[str, Any]] | None = None
    array: Callable[[Solved], Array] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    rows_per_item: int = 1
    merged: Callable[[Solved], Solved] | None = None
    stops: Array | None = None
    show: Show | None = None
    most_nfe: int | None = None
    at_once: int = LARGE

    def __len__(self) -> int:
        return len(self.inputs) // self.rows_per_item

    def problems(self, job: Job, partial: bool) -> list[Problem]:
        """The ways to solve it that the query allows, in the engine's words."""
        return [
            way.problem(
                job.plan.program,
                self.inputs,
                self.args,
                partial,
                stops=self.stops,
                show=self.show,
                most_nfe=self.most_nfe,
            )
            for way in job.plan.wishes.ways
        ]

    def items_of(self, solved: Solved) -> Solved:
        """Rows made into items."""
        return solved if self.merged is None else self.merged(solved)

    def some(self, request: Request, items: Array) -> Solved:
        """Items whose rows have ended, of a request that may still go on. Shapes: items [n]."""
        rows = items
        if self.rows_per_item > 1:
            rows = (items[:, None] * self.rows_per_item + np.arange(self.rows_per_item)).ravel()
        return self.items_of(Solved.of(request)[rows])

    def answer(self, solved: Solved) -> dict[str, Any]:
        """Content of a JSON answer."""
        if self.content is not None:
            return {**self.content(solved), **self.extra}
        told = Items(len(solved), lambda first, last: self.told(solved[first:last]), self.at_once)
        return {self.listed: told, **self.extra}

    @property
    def headers(self) -> dict[str, str]:
        """Of an answer, in whatever form."""
        return {"X-Seed": str(self.extra["seed"])} if "seed" in self.extra else {}


async def solve_asked(job: Job, asked: Asked) -> Solved:
    """Its items, solved together. Errors: ApiError for what was refused or went wrong."""
    problems = asked.problems(job, job.plan.wishes.partial)
    return asked.items_of(await solve_problems(job, problems, asked.rows_per_item))
