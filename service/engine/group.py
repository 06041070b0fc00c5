"""Lanes that step together: one program, one method. The tensors; whose lanes they are stands in the lane table."""

import logging
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TypeVar

import numpy as np

from node_model.status import Status
from service.engine.lane_table import LaneTable
from service.engine.program import ServedProgram
from service.engine.request import End, Request
from service.engine.stats import Tally
from service.engine.stepper import Array, Lanes, Rows, Stepped, Terms
from service.engine.trace import Attempts

log = logging.getLogger("odeserve")

Result = TypeVar("Result")
Part = tuple[Request, range]
"""Some rows of a request."""


class Group:
    """Up to `program.lanes[method]` rows under way."""

    def __init__(self, program: ServedProgram, method: str, clock: Callable[[], float]) -> None:
        self.program = program
        self.method = method
        self._clock = clock
        self.table = LaneTable(program.lanes[method])
        self._tally = Tally()
        self._lanes: Lanes | None = None
        self._watched: list[Request] = []
        self._travelling = False

    def __len__(self) -> int:
        return len(self.table)

    def take_tally(self) -> Tally:
        """What was done since the last time."""
        tally, self._tally = self._tally, Tally()
        return tally

    def admit(self, parts: Iterable[Part]) -> None:
        """Put rows on free lanes: encode them and evaluate the field at their start, where a row may end."""
        for begun, some in groupby(parts, lambda part: part[0].problem.begun is not None):
            self._admit(list(some), self._resume if begun else self._start)

    def _admit(self, taken: list[Part], start: Callable[[list[Part]], Stepped]) -> None:
        """Where a start fails, whose input it was ends alone: a graph may not take what another takes."""
        try:
            started = start(taken)
        except Exception as error:
            if len(taken) > 1:
                for one in taken:
                    self._admit([one], start)
                return
            log.exception("%s: a request cannot be started", self.program.model)
            taken[0][0].finish(End.FAULT, self._clock(), error)
        else:
            self._enter(taken, started)

    def _start(self, taken: list[Part]) -> Stepped:
        rows_in, stepper = _joined(taken), self.program.stepper
        started, seconds = self._timed(lambda: stepper.start(rows_in))
        count, first = len(started.status), 0
        self.program.speed.started(count, seconds)
        self._tally.issued += count
        for request, rows in taken:
            if request.problem.again:
                own = np.arange(first, first + len(rows))
                request.keep_begun(rows, stepper.select(started.lanes, own))
            first += len(rows)
        return started

    def _resume(self, taken: list[Part]) -> Stepped:
        """Rows that were encoded before."""
        stepper, parts = self.program.stepper, []
        for request, rows in taken:
            assert request.problem.begun is not None  # noqa: S101 - the caller looked
            parts.append(stepper.select(request.problem.begun, np.arange(rows.start, rows.stop)))
        return stepper.restart(stepper.join(*parts), _terms(taken))

    def _enter(self, taken: list[Part], started: Stepped) -> None:
        before, count, first = self._lanes, len(started.status), 0
        for request, rows in taken:
            own = slice(first, first + len(rows))
            self.table.take(request, rows, started.t[own], started.nfe[own])
            first += len(rows)
        self._lanes = started.lanes if before is None else self.program.stepper.join(before, started.lanes)
        if any(request.problem.stops is not None or request.trace for request, _ in taken):
            self._depart(taken, started, len(self) - count)
        self._retire(np.concatenate((np.zeros(len(self) - count, np.int64), started.status)))

    def _depart(self, taken: list[Part], started: Stepped, first: int) -> None:
        """Send newcomers with stops to their first one; show the start to those who watch. `first`: their lane."""
        stepper, place = self.program.stepper, 0
        for request, rows in taken:
            own, stops = np.arange(place, place + len(rows)), request.problem.stops
            place += len(rows)
            if stops is not None:
                self._travelling = True
                assert self._lanes is not None  # noqa: S101 - the newcomers are in it
                self._lanes = stepper.onward(self._lanes, first + own, np.full(len(rows), stops[0]))
            if request.trace and request.problem.show:
                self._watched.append(request)
                zeros, shown = np.zeros(len(own)), request.problem.show(stepper, stepper.select(started.lanes, own))
                at_start = Attempts(started.t[own], zeros, zeros == 0, zeros, shown)
                request.trace.note(np.arange(rows.start, rows.stop), at_start)

    def advance(self) -> None:
        """One attempt on every lane, of which there is at least one; those that end are decoded and leave."""
        lanes, method, stepper = self._lanes, self.method, self.program.stepper
        assert lanes is not None  # noqa: S101 - the caller looked at len(self)
        stepped, seconds = self._timed(lambda: stepper.step(method, lanes))
        evaluations = len(self) * stepper.spec.methods[method].nfe_attempt
        self.program.speed.stepped(method, evaluations, seconds)
        if self._watched:
            self._show(lanes, stepped)
        self._count(stepped, evaluations)
        self._lanes = stepped.lanes
        self._retire(stepped.status)

    def evict(self) -> None:
        """Free the lanes of requests that have ended; end those whose deadline has passed."""
        now = self._clock()
        late = [request for request in self.table.requests if now > request.deadline and not request.end]
        if late:
            self._retire(np.where(self.table.owned_by(late), Status.DEADLINE, Status.RUNNING))
        over = [request for request in self.table.requests if request.end]
        if over:
            self._keep(np.flatnonzero(~self.table.owned_by(over)))

    def _show(self, before: Lanes, stepped: Stepped) -> None:
        """Keep an attempt for the requests that watch; a lane that ended without one made none."""
        table, stepper = self.table, self.program.stepper
        index = np.flatnonzero(table.owned_by(self._watched) & (stepped.nfe != table.nfe))
        if not len(index):
            return
        t, (dt, t_end) = table.t[index], stepper.peek(stepper.select(before, index), ("dt", "t_end"))
        gap = np.abs(t_end - t)
        reached, dt = np.where(dt < gap, t + np.sign(t_end - t) * dt, t_end), np.minimum(dt, gap)
        accepted, ratio = stepped.accepted[index], stepped.ratio[index]
        for request, place, rows in table.owners(index):
            if request.trace and request.problem.show:
                there = index[place][accepted[place]]
                shown = request.problem.show(stepper, stepper.select(stepped.lanes, there)) if len(there) else ()
                request.trace.note(rows, Attempts(reached[place], dt[place], accepted[place], ratio[place], shown))

    def _count(self, stepped: Stepped, evaluations: int) -> None:
        attempts = self.table.attempts
        self.table.count(stepped.t, stepped.nfe, stepped.accepted, stepped.err_norm)
        accepted = int(stepped.accepted.sum())
        self._tally.issued += evaluations
        self._tally.accepted += accepted
        self._tally.rejected += int((self.table.attempts - attempts).sum()) - accepted

    def _retire(self, status: Array) -> None:
        """Decode the lanes that ended, write their rows down and give the lanes back. Shapes: status [lane]."""
        index = np.flatnonzero(status != Status.RUNNING)
        if not len(index):
            return
        stepper, table, lanes = self.program.stepper, self.table, self._lanes
        assert lanes is not None  # noqa: S101 - there are lanes to retire
        status = status.copy()
        ended = lanes if len(index) == len(table) else stepper.select(lanes, index)
        outputs, decoding = self._timed(lambda: stepper.decode(ended.y))
        for output in outputs:
            # A state far out may end well and still have no finite answer.
            infinite = index[~np.isfinite(output).reshape(len(index), -1).all(1)]
            status[infinite[status[infinite] == Status.OK]] = Status.NON_FINITE
        now = self._clock()
        late = [request for request in table.requests if now > request.deadline]
        if late:
            # The deadline passed during the step: an answer would be late.
            status[index[table.owned_by(late)[index] & (status[index] == Status.OK)]] = Status.DEADLINE
        if self._travelling:
            ended_here = self._onward(index, status, outputs)
            if not ended_here.any():
                return
            index, outputs = index[ended_here], tuple(output[ended_here] for output in outputs)
        results = table.solution(index, status[index])
        for request, place, rows in table.owners(index):
            if not request.end:
                own = results.part(place)
                self._tally.useful += int(own.nfe.sum())
                request.decode_seconds = decoding
                request.record(rows, own, tuple(output[place] for output in outputs), now)
        self._keep(np.flatnonzero(status == Status.RUNNING))

    def _onward(self, index: Array, status: Array, outputs: tuple[Array, ...]) -> Array:
        """Note the answers of lanes that landed on a stop and send them to their next: which lanes have none.

        Shapes: index [n]; status [lane], altered; outputs [n, ...] -> [n] bool.
        """
        ends = np.full(len(index), np.nan)
        for request, place, rows in self.table.owners(index):
            landed = status[index[place]] == Status.OK
            if request.stops is not None and landed.any():
                there = np.arange(place.start, place.stop)[landed]
                ends[there] = request.stops.landed(rows[landed], tuple(output[there] for output in outputs))
        further = np.isfinite(ends)
        if further.any() and self._lanes is not None:
            status[index[further]] = Status.RUNNING
            self._lanes = self.program.stepper.onward(self._lanes, index[further], ends[further])
        return np.asarray(~further)

    def _keep(self, index: Array) -> None:
        lanes = self._lanes
        self._lanes = self.program.stepper.select(lanes, index) if lanes is not None and len(index) else None
        self.table.keep(index)
        if self._watched or self._travelling:
            left = self.table.requests
            self._watched = [request for request in self._watched if request in left]
            self._travelling = any(request.stops is not None for request in left)

    def _timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        begun = self._clock()
        result = work()
        seconds = self._clock() - begun
        self._tally.backend_seconds += seconds
        return result, seconds


def _joined(parts: list[Part]) -> Rows:
    """Ranges of rows of some requests as one batch."""
    problems = [request.problem for request, _ in parts]
    ranges = [slice(rows.start, rows.stop) for _, rows in parts]

    def batch(arrays: Iterable[Array]) -> Array:
        pieces = [array[part] for array, part in zip(arrays, ranges, strict=True)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    return Rows(
        batch(problem.inputs for problem in problems),
        tuple(batch(arrays) for arrays in zip(*(problem.args for problem in problems), strict=True)),
        _terms(parts),
    )


def _terms(parts: list[Part]) -> Terms:
    """How ranges of rows of some requests are to be solved. Shapes: -> each [row of any]."""
    counts = [len(rows) for _, rows in parts]
    asked = [
        (problem.rtol, problem.atol, problem.max_nfe, problem.first_dt)
        for problem in (request.problem for request, _ in parts)
    ]
    terms = Terms(*(np.repeat(column, counts) for column in zip(*asked, strict=True)))
    problems = [request.problem for request, _ in parts]
    if any(problem.left_nfe is not None for problem in problems):
        left = [
            np.full(len(rows), problem.max_nfe)
            if problem.left_nfe is None
            else problem.left_nfe[rows.start : rows.stop]
            for problem, (_, rows) in zip(problems, parts, strict=True)
        ]
        terms = terms._replace(max_nfe=np.concatenate(left))
    if all(problem.stops is None for problem in problems):
        return terms
    # Where the last stop is, so that a row which is there from the start costs nothing.
    last = [problem.program.spec.interval[1] if problem.stops is None else problem.stops[-1] for problem in problems]
    return terms._replace(t_end=np.repeat(last, counts))
