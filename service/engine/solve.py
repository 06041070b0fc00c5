"""The loop over `step` for the rows of one request: few lanes run, finished rows leave, waiting rows move in."""

from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from node_model.status import Status
from service.engine.stepper import Array, Carried, Limits, Stepper

REFILL = 0.25
"""Part of the lanes that must be free before waiting rows move in: each refill costs a run of two small graphs."""


@dataclass(frozen=True)
class Problem:
    """Rows to solve with one method.

    Shapes: inputs, args [row, ...]; the others [row].
    Units: first_dt in the field's time, a magnitude; max_nfe in field evaluations.
    """

    method: str
    inputs: Array
    args: tuple[Array, ...]
    rtol: Array
    atol: Array
    max_nfe: Array
    first_dt: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, chosen: slice) -> "Problem":
        """The same problem for a range of its rows, without a copy."""
        return replace(
            self,
            inputs=self.inputs[chosen],
            args=tuple(arg[chosen] for arg in self.args),
            rtol=self.rtol[chosen],
            atol=self.atol[chosen],
            max_nfe=self.max_nfe[chosen],
            first_dt=self.first_dt[chosen],
        )


@dataclass(frozen=True)
class Solution:
    """How each row ended. A row that was never started is `cancelled` at the start with NFE 0.

    Shapes: y [row, dim]; the others [row].
    Units: error_estimate in state units, the sum of the RMS errors of accepted steps.
    """

    y: Array
    t: Array
    status: Array
    nfe: Array
    accepted: Array
    rejected: Array
    error_estimate: Array

    @classmethod
    def unsolved(cls, rows: int, dim: int, dtype: np.dtype[np.generic], t0: float) -> "Solution":
        """Room for the results of `rows` rows."""
        accepted, rejected, nfe = (np.zeros(rows, np.int64) for _ in range(3))
        return cls(
            y=np.zeros((rows, dim), dtype),
            t=np.full(rows, t0),
            status=np.full(rows, Status.CANCELLED, np.int64),
            nfe=nfe,
            accepted=accepted,
            rejected=rejected,
            error_estimate=np.zeros(rows),
        )


@dataclass
class _Running:
    """Lanes under way; `row` says whose they are."""

    row: Array
    carried: Carried
    limits: Limits
    args: tuple[Array, ...]
    attempts: Array
    accepted: Array
    error_estimate: Array

    def take(self, chosen: Array) -> "_Running":
        return _Running(
            self.row[chosen],
            Carried(*(array[chosen] for array in self.carried)),
            Limits(*(array[chosen] for array in self.limits)),
            tuple(array[chosen] for array in self.args),
            self.attempts[chosen],
            self.accepted[chosen],
            self.error_estimate[chosen],
        )

    def join(self, other: "_Running") -> "_Running":
        return _Running(
            np.concatenate((self.row, other.row)),
            Carried(*map(np.concatenate, zip(self.carried, other.carried, strict=True))),
            Limits(*map(np.concatenate, zip(self.limits, other.limits, strict=True))),
            tuple(map(np.concatenate, zip(self.args, other.args, strict=True))),
            np.concatenate((self.attempts, other.attempts)),
            np.concatenate((self.accepted, other.accepted)),
            np.concatenate((self.error_estimate, other.error_estimate)),
        )


def solve(stepper: Stepper, problem: Problem, lanes: int, *, stop: Event, partial: bool = False) -> Solution:
    """Solve every row, at most `lanes` at a time, refilling in order.

    A row that fails sets `stop` unless `partial`; once `stop` is set, by whomever, the rows that have not ended are
    `cancelled`. When a row ends, and how, is the graph's decision alone.

    Shapes: see Problem and Solution.
    Errors: whatever the stepper raises.
    """
    spec, rows, waiting = stepper.spec, len(problem), 0
    # the exporter gives the state the dtype of the input
    solution = Solution.unsolved(rows, spec.dim, np.dtype(spec.input.dtype), spec.interval[0])
    running: _Running | None = None
    while not stop.is_set():
        free = lanes - (0 if running is None else len(running.row))
        if waiting < rows and free >= min(lanes * REFILL, rows - waiting):
            fresh, status = _start(stepper, problem, np.arange(waiting, min(waiting + free, rows)))
            waiting += len(status)
            if status.any():
                fresh = _retire(fresh, status, solution, stop, partial)
            running = fresh if running is None or not len(running.row) else running.join(fresh)
            continue
        if running is None or not len(running.row):
            break
        stepped = stepper.step(problem.method, running.carried, running.limits, running.args)
        carried = stepped.carried
        # A graph may end a lane without an attempt (no budget left): then its nfe stays.
        running.attempts += carried.nfe != running.carried.nfe
        running.accepted += carried.accepted
        running.error_estimate += np.where(carried.accepted, stepped.err_norm, 0.0)
        running.carried = carried
        if stepped.status.any():
            running = _retire(running, stepped.status, solution, stop, partial)
    if running is not None:
        left = np.arange(len(running.row))
        _record(running, left, np.full(len(left), Status.CANCELLED), solution)
    return solution


def _start(stepper: Stepper, problem: Problem, row: Array) -> tuple[_Running, Array]:
    """Encode rows and evaluate the field once; with the status of those that end there."""
    count = len(row)
    chosen = problem.rows(slice(int(row[0]), int(row[0]) + count))
    t0, t_end = stepper.spec.interval
    limits = Limits(np.full(count, t_end), chosen.rtol, chosen.atol, chosen.max_nfe)
    y, t = stepper.encode(chosen.inputs), np.full(count, t0)
    f, nfe, status = stepper.start(y, t, limits.t_end, limits.max_nfe, chosen.args)
    carried = Carried(y, f, t, chosen.first_dt, np.ones(count, np.bool_), np.zeros(count, np.int64), nfe)
    attempts, accepted = np.zeros(count, np.int64), np.zeros(count, np.int64)
    return _Running(row, carried, limits, chosen.args, attempts, accepted, np.zeros(count)), status


def _retire(running: _Running, status: Array, solution: Solution, stop: Event, partial: bool) -> _Running:
    """Write down the lanes that ended; the lanes that go on."""
    ended = np.flatnonzero(status != Status.RUNNING)
    _record(running, ended, status[ended], solution)
    if not partial and (status[ended] != Status.OK).any():
        stop.set()
    return running.take(np.flatnonzero(status == Status.RUNNING))


def _record(lanes: _Running, ended: Array, status: Array, solution: Solution) -> None:
    row, carried = lanes.row[ended], lanes.carried
    solution.y[row] = carried.y[ended]
    solution.t[row] = carried.t[ended]
    solution.status[row] = status
    solution.nfe[row] = carried.nfe[ended]
    solution.accepted[row] = lanes.accepted[ended]
    solution.rejected[row] = lanes.attempts[ended] - lanes.accepted[ended]
    solution.error_estimate[row] = lanes.error_estimate[ended]
