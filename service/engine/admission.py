"""Requests that wait for lanes: ordered by due time, bounded in predicted seconds."""

import heapq
from collections.abc import Iterator

from service.engine.program import ServedProgram
from service.engine.request import QueueFullError, Request

PATIENCE = 4.0
"""K of the due time: how many times its own solo time a request may wait before it goes ahead of newer, shorter ones.
0 is first come first served, large is shortest first."""

Key = tuple[str, str]


class Waiting:
    """The queue. It has no lock of its own: the runner's guards it.

    Units: seconds; `seconds` is predicted work of one shard, shared by all of them.
    """

    def __init__(self, shards: int, limit: float, patience: float = PATIENCE) -> None:
        self._shards = shards
        self._limit = limit
        self._patience = patience
        self._heaps: dict[Key, list[tuple[float, int, Request]]] = {}
        self._entries: dict[int, tuple[Key, int, float]] = {}
        self._rows: dict[Key, int] = {}
        self._work = 0.0

    @property
    def depth(self) -> int:
        """Requests with rows that no shard has taken."""
        return len(self._entries)

    @property
    def seconds(self) -> float:
        """Predicted seconds until all that waits now would have been taken."""
        return self._work / self._shards

    def offer(self, request: Request) -> None:
        """Let a request wait. Errors: QueueFullError; a request that finds nothing waiting is always let in."""
        seconds, own = self.seconds, request.work / self._shards
        if self._entries and seconds + own > self._limit:
            raise QueueFullError(seconds, retry_after=min(seconds, seconds + own - self._limit))
        solo = request.work / min(self._shards, len(request.problem))
        request.due = min(request.deadline, request.received + self._patience * solo)
        heapq.heappush(self._heaps.setdefault(request.key, []), (request.due, request.ticket, request))
        self._note(request, len(request.problem))

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
        key, before, work = self._entries.pop(request.ticket, (request.key, 0, 0.0))
        left = request.work * rows / len(request.problem)
        if rows:
            self._entries[request.ticket] = key, rows, left
        self._rows[key] = self._rows.get(key, 0) + rows - before
        # Sums of differences drift: nothing waiting is no work, exactly.
        self._work = self._work + left - work if self._entries else 0.0
