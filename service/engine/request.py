"""A request as the engine knows it: rows to solve, how and until when; what became of each row; how it ended."""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from node_model.status import Status
from service.engine.forecast import Forecast
from service.engine.program import ServedProgram
from service.engine.stepper import Array, Lanes
from service.engine.stops import Stops
from service.engine.trace import Show, Trace


class End(StrEnum):
    """How a request ends; it does so exactly once."""

    COMPLETED = "completed"
    FAILED = "failed"
    """A row failed, and the caller did not want the others without it."""
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """The server stops."""
    FAULT = "fault"
    """A backend raised."""


class QueueFullError(RuntimeError):
    """More work waits ahead of a request than may; `retry_after` in seconds."""

    def __init__(self, waiting: float, retry_after: float) -> None:
        super().__init__(f"{waiting:.1f} s of work are waiting ahead of it")
        self.waiting = waiting
        self.retry_after = retry_after


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows to solve alike. `begun`: lanes at their start, from an earlier solve of the same inputs; they are not
    encoded again. `again`: keep them for a later one. `stops`: times to land on and answer at, in the direction of the
    interval and within it; None: its end. `show`: what to keep of every attempt, None: nothing.

    Shapes: inputs, args, begun [row, ...]; stops [stop].
    Units: first_dt and stops in the field's time, the former a magnitude; max_nfe in field evaluations of a row.
    """

    program: ServedProgram
    method: str
    inputs: Array
    args: tuple[Array, ...]
    rtol: float
    atol: float
    max_nfe: int
    first_dt: float
    partial: bool = False
    begun: Lanes | None = None
    again: bool = False
    stops: Array | None = None
    show: Show | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def extra_nfe(self) -> int:
        """Evaluations that a row may take more than usual: each stop on the way cuts a step in two."""
        attempt = self.program.spec.methods[self.method].nfe_attempt
        return 0 if self.stops is None else (len(self.stops) - 1) * attempt

    @property
    def loosest(self) -> float:
        """The tolerance that the error follows."""
        return max(self.rtol, self.atol)

    @property
    def tightest(self) -> float:
        """The tolerance that the cost follows."""
        return min(self.rtol, self.atol)

    @property
    def work(self) -> float:
        """Predicted nominal seconds of one shard's time; see Speed."""
        return self.program.work(len(self), self.method, self.tightest, self.extra_nfe)


@dataclass(frozen=True)
class Solution:
    """What became of each row; one that was never started is `cancelled` at the start with NFE 0.

    Shapes: every array [row].
    Units: error_estimate in state units, the sum of the RMS errors of accepted steps.
    """

    status: Array
    t: Array
    nfe: Array
    accepted: Array
    rejected: Array
    error_estimate: Array

    def part(self, rows: slice | Array) -> "Solution":
        """What became of some of the rows: a range, or those of the given numbers."""
        return Solution(*(column[rows] for column in vars(self).values()))

    @classmethod
    def unsolved(cls, rows: int, t0: float) -> "Solution":
        """Room for the results of `rows` rows."""
        accepted, rejected, nfe = (np.zeros(rows, np.int64) for _ in range(3))
        return cls(
            np.full(rows, Status.CANCELLED, np.int64), np.full(rows, t0), nfe, accepted, rejected, np.zeros(rows)
        )


_tickets = itertools.count()


class Request:
    """One request, from admission to its end. Its rows may be under way on several shards at once.

    Units: times are those of the engine's clock, seconds; `decode_seconds` is what decoding the last rows took; `work`
    is predicted nominal seconds of one shard, `forecast` and `predicted` count from reception; the latter is what half
    of those forecast alike take.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        received: float,
        deadline: float,
        ended: Callable[["Request"], None],
        forecast: Forecast | None = None,
        predicted: float = math.nan,
    ) -> None:
        self.ticket = next(_tickets)
        self.problem = problem
        self.received = received
        self.deadline = deadline
        self.forecast = forecast
        self.predicted = predicted
        self.work = problem.work
        self.due = deadline
        self._solution: Solution | None = None
        self.outputs: tuple[Array, ...] = ()
        self.started: float | None = None
        self.finished: float | None = None
        self.end: End | None = None
        self.error: BaseException | None = None
        self.decode_seconds = 0.0
        self._ended = ended
        self._lock = threading.Lock()
        self._taken = 0
        self._recorded = 0
        self._begun: list[tuple[int, Lanes]] = []
        rows, stops = len(problem), problem.stops
        self.stops = None if stops is None else Stops(stops, rows, problem.program.spec.outputs)
        self.trace = None if problem.show is None else Trace()
        self.told: Callable[[Array], None] | None = None
        """Called with the numbers of rows once they are written down, by the shard's thread."""

    @property
    def solution(self) -> Solution:
        """What became of each row so far."""
        rows, spec = len(self.problem), self.problem.program.spec
        return Solution.unsolved(rows, spec.interval[0]) if self._solution is None else self._solution

    @property
    def key(self) -> tuple[str, str]:
        """Which lanes can solve it: program and method."""
        return self.problem.program.key, self.problem.method

    @property
    def waiting_rows(self) -> int:
        """Rows that no shard has taken; none once the request has ended."""
        return 0 if self.end else len(self.problem) - self._taken

    def take(self, most: int, now: float) -> range:
        """The next rows, at most so many, for the caller to solve. Callers hold the queue's lock."""
        first = self._taken
        self._taken = min(first + most, len(self.problem))
        if self.started is None:
            # A turn may have begun before the request came that it takes along.
            self.started = max(now, self.received)
        return range(first, self._taken)

    def keep_begun(self, rows: range, lanes: Lanes) -> None:
        """Rows were encoded: these are their lanes at the start."""
        with self._lock:
            self._begun.append((rows.start, lanes))

    def begun(self, index: Array) -> Lanes:
        """Lanes of some rows at their start, for a problem with `again` that was completed. Shapes: index [n]."""
        stepper, parts = self.problem.program.stepper, sorted(self._begun, key=lambda part: part[0])
        lanes = parts[0][1]
        for _, others in parts[1:]:
            lanes = stepper.join(lanes, others)
        return stepper.select(lanes, index)

    def record(self, rows: Array, results: Solution, outputs: tuple[Array, ...], now: float) -> None:
        """Write down rows that ended; ends the request with its last row, or with one that failed.

        Shapes: rows [n], ascending; results, outputs [n, ...].
        """
        if self.stops is not None:
            outputs = self.stops.answers(rows)
        if len(rows) == len(self.problem):
            self._solution, self.outputs = results, outputs
            complete = True
            self._tell(rows)
        else:
            complete = self._write(rows, results, outputs)
        if not self.problem.partial and (results.status != Status.OK).any():
            self.finish(End.DEADLINE if (results.status == Status.DEADLINE).any() else End.FAILED, now)
        elif complete:
            self.finish(End.COMPLETED, now)

    def _write(self, rows: Array, results: Solution, outputs: tuple[Array, ...]) -> bool:
        """Put rows in their places among the others; whether these were the last."""
        with self._lock:
            if self._solution is None:
                self._solution = self.solution
                room = len(self.problem)
                self.outputs = tuple(np.full((room, *new.shape[1:]), np.nan, new.dtype) for new in outputs)
        for into, new in zip(vars(self.solution).values(), vars(results).values(), strict=True):
            into[rows] = new
        for into, new in zip(self.outputs, outputs, strict=True):
            into[rows] = new
        # Before the last row is counted: nobody is told of rows of a request that has ended.
        self._tell(rows)
        with self._lock:
            self._recorded += len(rows)
            return self._recorded == len(self.problem)

    def _tell(self, rows: Array) -> None:
        if self.told is not None:
            self.told(rows)

    def expire(self, now: float) -> None:
        """End a request whose deadline has passed while nobody could see to it."""
        self.finish(End.DEADLINE, now)

    def finish(self, end: End, now: float, error: BaseException | None = None) -> bool:
        """End the request unless it has ended; says whether this call did. From any thread."""
        with self._lock:
            if self.end is not None:
                return False
            self.end, self.finished, self.error = end, now, error
        self._ended(self)
        return True

    @property
    def first_failed(self) -> int | None:
        """The lowest row that failed by itself."""
        failed = np.isin(self.solution.status, (Status.OK, Status.CANCELLED), invert=True)
        return int(failed.argmax()) if failed.any() else None

    @property
    def queue_seconds(self) -> float:
        """From reception to the first row's start."""
        until = self.started if self.started is not None else self.finished
        return 0.0 if until is None else until - self.received

    @property
    def solve_seconds(self) -> float:
        """From the first row's start to the end."""
        return 0.0 if self.started is None or self.finished is None else self.finished - self.started
