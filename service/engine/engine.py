"""Continuous batching of adaptive solves: rows enter free lanes, every lane makes an attempt, ended rows leave."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from service.engine.admission import Key, Waiting
from service.engine.group import Group
from service.engine.request import End, Problem, Request
from service.engine.scheduler import Scheduler, entering
from service.engine.stats import StepReport

Clock = Callable[[], float]


class Engine:
    """The lanes of one shard. Runs on one thread; the queue is shared with other shards, under `lock`."""

    def __init__(
        self,
        waiting: Waiting,
        lock: AbstractContextManager[object],
        *,
        shard: int = 0,
        shards: int = 1,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._waiting = waiting
        self._lock = lock
        self._shard = shard
        self._shards = shards
        self._clock = clock
        self._scheduler = Scheduler()
        self._groups: dict[Key, Group] = {}
        self._entering: list[tuple[Request, range]] = []
        self._turn: Key | None = None
        # Groups that are gone and whose last rows are not in a report yet.
        self._left: list[Group] = []

    def step(self) -> StepReport | None:
        """One turn of one group of lanes; None when there is nothing to do."""
        begun, self._turn = self._clock(), None
        self._evict(begun)
        if self._left:
            return self._report(self._left.pop(), 0, 0, self._clock() - begun)
        group = self._next_turn(begun)
        if group is None:
            return None
        encoded = sum(len(rows) for request, rows in self._entering if request.problem.begun is None)
        if self._entering:
            group.admit(self._entering)
            self._entering = []
        lanes = len(group)
        if lanes:
            group.advance()
        return self._report(group, encoded, lanes, self._clock() - begun)

    @property
    def active(self) -> dict[str, int]:
        """Lanes taken, by model."""
        taken: dict[str, int] = {}
        for group in list(self._groups.values()):
            taken[group.program.model] = taken.get(group.program.model, 0) + len(group)
        return taken

    def abandon(self, error: BaseException) -> None:
        """A backend raised: answer the requests with lanes of the kind whose turn it was and forget those lanes; all of
        them where it was nobody's turn."""
        keys = [self._turn] if self._turn in self._groups else list(self._groups)
        requests = [request for key in keys for request in self._groups.pop(key).table.requests]
        requests += [request for request, _ in self._entering]
        with self._lock:
            for key in keys:
                self._waiting.note_lanes(key, self._shard, 0)
        self._entering = []
        for request in requests:
            request.finish(End.FAULT, self._clock(), error)

    def _evict(self, now: float) -> None:
        """End what is past its deadline; free the lanes of what has ended."""
        with self._lock:
            late = self._waiting.late(now)
        for request, rows in late:
            request.expire(rows, now)
        for key, group in list(self._groups.items()):
            before = len(group)
            group.evict()
            if not len(group):
                del self._groups[key]
                if before:
                    self._left.append(group)
                with self._lock:
                    self._waiting.note_lanes(key, self._shard, 0)

    def _next_turn(self, now: float) -> Group | None:
        """Whose turn it is; the waiting rows that enter with it are in `_entering`."""
        with self._lock:
            due = self._waiting.due()
            for key, group in self._groups.items():
                due[key] = min(due.get(key, math.inf), group.table.due)
            if not due:
                return None
            key = self._scheduler.pick(due)
            group = self._groups.get(key) or Group(self._waiting.program(key), key[1], self._clock)
            self._groups[key], self._turn = group, key
            elsewhere = self._waiting.lanes_elsewhere(key, self._shard)
            rows = entering(self._waiting.rows(key), len(group), elsewhere, group.table.width, self._shards)
            self._entering = self._waiting.take(key, rows, now)
            self._waiting.note_lanes(key, self._shard, len(group) + rows)
        return group

    def _report(self, group: Group, encoded: int, lanes: int, seconds: float) -> StepReport:
        if lanes:
            group.program.speed.turned(group.method, encoded, lanes, seconds)
        self._scheduler.charge((group.program.key, group.method), seconds)
        return StepReport(group.program.model, group.method, self._shard, lanes, seconds, tally=group.take_tally())


def solve_alone(problem: Problem) -> Request:
    """Solve a problem here and now, without threads or a queue: the request, ended."""
    waiting = Waiting(shards=1, limit=math.inf)
    request = Request(problem, received=time.perf_counter(), deadline=math.inf, ended=waiting.drop)
    waiting.offer(request)
    engine = Engine(waiting, nullcontext())
    while engine.step():
        pass
    return request
