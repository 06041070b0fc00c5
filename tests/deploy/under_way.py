"""Who asked when, what became of it, and whose requests failed when somebody was killed."""

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    ticket: int
    begun: float
    ended: float
    outcome: str


class Book:
    """Requests of several clients, from begin to end."""

    def __init__(self):
        self.ended = []
        self._tickets = itertools.count()
        self._under_way = {}
        self._lock = threading.Lock()

    def begin(self, now=None):
        with self._lock:
            ticket = next(self._tickets)
            self._under_way[ticket] = time.monotonic() if now is None else now
            return ticket

    def end(self, ticket, outcome, now=None):
        with self._lock:
            begun = self._under_way.pop(ticket)
            self.ended.append(Ended(ticket, begun, time.monotonic() if now is None else now, outcome))

    def under_way(self, older_than=0.0, now=None):
        """Tickets of requests that began so many seconds ago and have not ended."""
        now = time.monotonic() if now is None else now
        with self._lock:
            return {ticket for ticket, begun in self._under_way.items() if now - begun >= older_than}

    def failures(self, since, until=float("inf")):
        """Of requests that began and ended between two times."""
        return self._failed(one for one in self.ended if since < one.begun and one.ended <= until)

    def answered(self, since, until=float("inf")):
        return sum(since < one.begun and one.ended <= until and one.outcome == "200" for one in self.ended)

    def after_kill(self, at, held, until):
        """What became of whom when somebody was killed: of what the victim held, of what others had under way at that
        time, and of what came later."""
        # Whoever is still under way has not ended at all.
        with self._lock:
            assert not held & self._under_way.keys(), "a request that the victim held has not ended"
        mine = [one for one in self.ended if one.ticket in held]
        others = [one for one in self.ended if one.begun <= at < one.ended and one.ticket not in held]
        return {
            "held": len(mine),
            "failed": self._failed(mine),
            "elsewhere": len(others),
            "failed_elsewhere": self._failed(others),
            "failed_later": self.failures(at, until),
            "answered_later": self.answered(at, until),
        }

    @staticmethod
    def _failed(some):
        return dict(Counter(one.outcome for one in some if one.outcome != "200"))
