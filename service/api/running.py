"""A request under way whose items are told of as they end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from service.api.solving import Job, begin
from service.engine.request import End, Problem, Request
from service.engine.stepper import Array


class Running:
    """Let in when made. What waits to be told is bounded by the request's rows, however slowly they are taken.

    Errors: ApiError for what was refused.
    """

    def __init__(self, job: Job, problems: Sequence[Problem], rows_per_item: int = 1) -> None:
        self._runner = job.context.runner
        self._rows: list[Array] = []
        self._news = asyncio.Event()
        self._pending = begin(job, problems, self._on_rows)
        rows = len(problems[0])
        self._rows_per_item = rows_per_item
        self._left = np.full(rows // rows_per_item, rows_per_item)

    @property
    def request(self) -> Request:
        """As the engine knows it."""
        return self._pending.request

    async def items(self) -> AsyncGenerator[Array, None]:
        """Numbers of items as they end; at last those that the deadline cut off. Leaving it cancels the request.

        Shapes: each [n].
        """
        ended = asyncio.ensure_future(self._runner.ended(self._pending))
        ended.add_done_callback(lambda _: self._news.set())
        try:
            over = False
            while not over:
                await self._news.wait()
                self._news.clear()
                over = ended.done()
                rows, self._rows = self._rows, []
                if rows:
                    items = self._whole(np.concatenate(rows))
                    if len(items):
                        yield items
            if ended.result().end in (End.COMPLETED, End.DEADLINE) and self._left.any():
                yield np.flatnonzero(self._left)
        finally:
            ended.cancel()
            self._runner.leave(self._pending)

    def _on_rows(self, rows: Array) -> None:
        self._rows.append(rows)
        self._news.set()

    def _whole(self, rows: Array) -> Array:
        """Items whose last rows are among these. Shapes: [n] -> [m]."""
        items, counts = np.unique(rows // self._rows_per_item, return_counts=True)
        self._left[items] -= counts
        return np.asarray(items[self._left[items] == 0])
