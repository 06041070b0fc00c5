"""Threads that solve. A request with many rows is shared out over them in ranges and put together again."""

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from threading import Event

import numpy as np

from node_model.status import Status
from service.engine.solve import Problem, Solution, solve
from service.engine.stepper import Array, Stepper


@dataclass(frozen=True)
class Outcome:
    """A solved request. `outputs` is None when a row failed and ended it.

    Shapes: outputs each [row, *output.shape].
    Units: seconds.
    """

    solution: Solution
    outputs: tuple[Array, ...] | None
    queue_seconds: float
    solve_seconds: float

    @property
    def first_failed(self) -> int | None:
        """The lowest row that failed by itself."""
        failed = np.isin(self.solution.status, (Status.OK, Status.CANCELLED), invert=True)
        return int(failed.argmax()) if failed.any() else None


@dataclass(frozen=True)
class _Part:
    solution: Solution
    outputs: tuple[Array, ...] | None
    begun: float
    ended: float


class Runner:
    """A pool of solver threads; encode, solve and decode happen on them, never on the event loop."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._pool = ThreadPoolExecutor(shards, thread_name_prefix="shard")

    async def run(self, stepper: Stepper, problem: Problem, lanes: int, *, partial: bool) -> Outcome:
        """Solve a problem with steps of at most `lanes` rows.

        Errors: whatever the stepper raises. A cancelled caller's rows stop at their next step.
        """
        submitted, stop = time.perf_counter(), Event()
        loop = asyncio.get_running_loop()
        pending = [
            loop.run_in_executor(self._pool, _solve_part, stepper, problem.rows(part), lanes, stop, partial)
            for part in shares(len(problem), self._shards, lanes)
        ]
        try:
            parts = await asyncio.gather(*pending)
        finally:
            stop.set()
        begun = min(part.begun for part in parts)
        return Outcome(
            solution=_joined([part.solution for part in parts]),
            outputs=_joined_outputs([part.outputs for part in parts]),
            queue_seconds=begun - submitted,
            solve_seconds=max(part.ended for part in parts) - begun,
        )

    def shutdown(self) -> None:
        """Let the running rows end, then free the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def shares(rows: int, shards: int, lanes: int) -> list[slice]:
    """Ranges of nearly equal length, as many as there are shards to fill with `lanes` rows each, at least one."""
    parts = max(1, min(shards, -(-rows // lanes)))
    edges = [rows * part // parts for part in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _solve_part(stepper: Stepper, problem: Problem, lanes: int, stop: Event, partial: bool) -> _Part:
    begun = time.perf_counter()
    solution = solve(stepper, problem, lanes, stop=stop, partial=partial)
    outputs = None if stop.is_set() else _decode(stepper, solution.y, lanes)
    return _Part(solution, outputs, begun, time.perf_counter())


def _decode(stepper: Stepper, y: Array, lanes: int) -> tuple[Array, ...]:
    chunks = [stepper.decode(y[row : row + lanes]) for row in range(0, len(y), lanes)]
    return chunks[0] if len(chunks) == 1 else tuple(map(np.concatenate, zip(*chunks, strict=True)))


def _joined(parts: list[Solution]) -> Solution:
    if len(parts) == 1:
        return parts[0]
    return Solution(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Solution)})


def _joined_outputs(parts: list[tuple[Array, ...] | None]) -> tuple[Array, ...] | None:
    decoded = [part for part in parts if part is not None]
    if len(decoded) < len(parts):
        return None
    return decoded[0] if len(decoded) == 1 else tuple(map(np.concatenate, zip(*decoded, strict=True)))
