"""Requests that wait for lanes: ordered by due time, bounded in predicted seconds."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from service.engine.choice import choose
from service.engine.forecast import Crowd, Forecast, forecast
from service.engine.program import ServedProgram
from service.engine.request import Problem, QueueFullError, Request
from service.engine.speed import Speed

PATIENCE = 4.0
"""K of the due time: how many times its own solo time a request may wait before it goes ahead of newer, shorter ones.
0 is first come first served, large is shortest first."""
LOW_WATER = 0.5
"""Part of the limit down to which waiting falls after a refusal before anyone is let in again: were newcomers to take
each place as it comes free, no Retry-After could be right."""
DUE_RESOLUTION = 0.05
"""Seconds. Work is summed up by due times that are this far apart."""

Key = tuple[str, str]


@dataclass
class _Due:
    """Requests of a program that are due at about the same time. Units: work in nominal seconds of one shard."""

    count: int = 0
    work: float = 0.0


@dataclass(frozen=True)
class _Entry:
    """What of a request waits. Units: work in nominal seconds of one shard."""

    key: Key
    slot: int
    rows: int
    work: float


@dataclass
class _ProgramWork:
    """Waiting work of a program, in all and by due time: booked in nominal seconds, told in real ones."""

    speed: Speed
    work: float = 0.0
    slots: dict[int, _Due] = field(default_factory=dict)

    def add(self, slot: int, count: int, work: float) -> None:
        """So many requests and so much work more (or less)."""
        due = self.slots.setdefault(slot, _Due())
        due.count += count
        due.work += work
        self.work += work
        if not due.count:
            del self.slots[slot]

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.speed.pace * self.work

    def seconds_until(self, slot: float) -> float:
        """What is due no later than a slot."""
        return self.speed.pace * sum(due.work for at, due in self.slots.items() if at <= slot)


class Waiting:
    """The queue. It has no lock of its own: the runner's guards it.

    A request is refused when more than `limit` seconds of work would go before it, so that one large request does not
    shut out the small ones that overtake it; or when `most` seconds wait in all.

    Units: seconds; `seconds` is predicted work of one shard, shared by all of them.
    """

    def __init__(self, shards: int, limit: float, most: float = math.inf, patience: float = PATIENCE) -> None:
        self._shards = shards
        self._limit = limit
        self._most = most
        self._patience = patience
        self._heaps: dict[Key, list[tuple[float, int, Request]]] = {}
        self._entries: dict[int, _Entry] = {}
        self._rows: dict[Key, int] = {}
        self._lanes: dict[Key, dict[int, int]] = {}
        self._programs: dict[str, _ProgramWork] = {}
        self._full: set[str] = set()

    @property
    def depth(self) -> int:
        """Requests with rows that no shard has taken."""
        return len(self._entries)

    @property
    def seconds(self) -> float:
        """Predicted seconds until all that waits now would have been taken."""
        return sum(program.seconds for program in self._programs.values()) / self._shards

    def admit(
        self,
        problems: Sequence[Problem],
        *,
        received: float,
        deadline: float,
        strict: bool,
        now: float,
        ended: Callable[[Request], None],
    ) -> Request:
        """A request that now waits, solved in the way that was chosen for it among several, tightest first.

        Errors: UnreachableDeadlineError; QueueFullError.
        """
        problem, found = choose(
            problems,
            lambda problem: self.forecast(problem, received, deadline),
            left=deadline - now,
            limit=self._limit,
            strict=strict,
        )
        since, usual = found.since(now - received), problem.program.usual.factor
        request = Request(
            problem, received=received, deadline=deadline, ended=ended, forecast=since, predicted=usual * since.expected
        )
        self.offer(request)
        return request

    def forecast(self, problem: Problem, received: float, deadline: float) -> Forecast:
        """How long a request would take from now on."""
        due = self._due(problem, received, deadline)
        taken = self._lanes.get((problem.program.key, problem.method), {})
        turns = len({program for program, _ in self._lanes})
        crowd = Crowd(
            waiting=self._ahead(problem.program.key, _slot(due)),
            running=min(taken.get(shard, 0) for shard in range(self._shards)),
            shards=self._shards,
            turns=max(1, turns),
        )
        rows, extra_nfe = len(problem), problem.extra_nfe
        return forecast(problem.program, problem.method, problem.tightest, rows, crowd, extra_nfe)

    def _due(self, problem: Problem, received: float, deadline: float) -> float:
        # Nominal: were it to move with the pace, newcomers would overtake whom they should follow.
        solo = problem.work / min(self._shards, len(problem))
        return min(deadline, received + self._patience * solo)

    def offer(self, request: Request) -> None:
        """Let a request wait.

        Errors: QueueFullError; a request that finds nothing waiting is always let in, and so is one that goes on with
        rows that were begun before.
        """
        request.due = self._due(request.problem, request.received, request.deadline)
        if request.problem.begun is None:
            self._admit(request)
        heapq.heappush(self._heaps.setdefault(request.key, []), (request.due, request.ticket, request))
        self._note(request, len(request.problem))

    def _admit(self, request: Request) -> None:
        """Errors: QueueFullError."""
        program, seconds, low = request.key[0], self.seconds, LOW_WATER * self._limit
        if seconds <= low:
            self._full.clear()
            return
        if self._ahead(program, math.inf) <= low:
            self._full.discard(program)
        ahead = self._ahead(program, _slot(request.due))
        if ahead > (low if program in self._full else self._limit) or seconds > self._most:
            self._full.add(program)
            raise QueueFullError(ahead, retry_after=max(ahead - low, seconds - self._most))

    def _ahead(self, program: str, slot: float) -> float:
        """Predicted seconds until a row due then is taken: its own program's work due earlier, and meanwhile up to as
        much of every other program, since they take turns."""
        own = self._programs[program].seconds_until(slot) if program in self._programs else 0.0
        others = sum(min(own, other.seconds) for name, other in self._programs.items() if name != program)
        return (own + others) / self._shards

    def drop(self, request: Request) -> None:
        """Forget a request that has ended; its heap entry goes when it comes to the top."""
        self._note(request, 0)

    def due(self) -> dict[Key, float]:
        """Which lanes are waited for, and the earliest due time of who waits for them."""
        return {key: self._heaps[key][0][0] for key in list(self._heaps) if self._prune(key)}

    def program(self, key: Key) -> ServedProgram:
        """The program of the lanes that `due` names."""
        return self._heaps[key][0][2].problem.program

    def rows(self, key: Key) -> int:
        """Rows that wait for lanes of a kind."""
        return self._rows.get(key, 0)

    def note_lanes(self, key: Key, shard: int, lanes: int) -> None:
        """A shard has so many lanes of a kind; a number that is a turn old does no harm."""
        shards = self._lanes.setdefault(key, {})
        shards[shard] = lanes
        if not any(shards.values()):  # programs come and go; nothing of them stays
            del self._lanes[key]

    def lanes_elsewhere(self, key: Key, shard: int) -> int:
        """Lanes of a kind on the other shards."""
        return sum(lanes for other, lanes in self._lanes.get(key, {}).items() if other != shard)

    def take(self, key: Key, most: int, now: float) -> list[tuple[Request, range]]:
        """The next rows for lanes of a kind, earliest due first."""
        return list(self._take(key, most, now))

    def _take(self, key: Key, most: int, now: float) -> Iterator[tuple[Request, range]]:
        while most and self._prune(key):
            request = self._heaps[key][0][2]
            rows = request.take(most, now)
            most -= len(rows)
            self._note(request, request.waiting_rows)
            yield request, rows

    def _prune(self, key: Key) -> bool:
        """Remove what has ended or is taken from the top of a heap; whether anything is left."""
        heap = self._heaps.get(key)
        while heap and not heap[0][2].waiting_rows:
            self.drop(heapq.heappop(heap)[2])
        if heap is not None and not heap:
            del self._heaps[key]
        return bool(heap)

    def _note(self, request: Request, rows: int) -> None:
        """So many rows of a request wait from now on."""
        before = self._entries.pop(request.ticket, None)
        if before:
            self._book(before, -1)
        if rows:
            work = request.work * rows / len(request.problem)
            entry = self._entries[request.ticket] = _Entry(request.key, _slot(request.due), rows, work)
            if request.key[0] not in self._programs:
                self._programs[request.key[0]] = _ProgramWork(request.problem.program.speed)
            self._book(entry, 1)

    def _book(self, entry: _Entry, sign: int) -> None:
        self._rows[entry.key] = self._rows.get(entry.key, 0) + sign * entry.rows
        if not self._rows[entry.key]:
            del self._rows[entry.key]
        program = self._programs[entry.key[0]]
        program.add(entry.slot, sign, sign * entry.work)
        if not program.slots:  # sums of differences drift: nothing waiting is no work, exactly
            del self._programs[entry.key[0]]


def _slot(due: float) -> int:
    return math.floor(due / DUE_RESOLUTION)
