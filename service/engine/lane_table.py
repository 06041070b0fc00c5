"""Whose lanes are whose: bookkeeping in arrays, one entry per lane, without a tensor."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from service.engine.request import Request, Solution
from service.engine.stepper import Array


class LaneTable:
    """Lanes 0 .. n - 1 are taken, of `width`. Ended lanes are given back and the others move up, in order."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._requests: dict[int, Request] = {}
        self._ticket = self._row = self.nfe = self.attempts = self.accepted = np.zeros(0, np.int64)
        self.t = self.error_estimate = np.zeros(0)

    def __len__(self) -> int:
        return len(self._ticket)

    @property
    def free(self) -> int:
        """Lanes that can be taken."""
        return self.width - len(self)

    @property
    def requests(self) -> list[Request]:
        """Those with lanes."""
        return list(self._requests.values())

    @property
    def due(self) -> float:
        """The earliest due time among the requests with lanes."""
        return min((request.due for request in self._requests.values()), default=math.inf)

    def take(self, request: Request, rows: range, t: Array, nfe: Array) -> None:
        """Give the next lanes to rows of a request that have been started. Shapes: t, nfe [row]."""
        count = len(rows)
        self._requests[request.ticket] = request
        self.t = np.concatenate((self.t, t))
        self.nfe = np.concatenate((self.nfe, nfe))
        self._ticket = np.concatenate((self._ticket, np.full(count, request.ticket)))
        self._row = np.concatenate((self._row, np.arange(rows.start, rows.stop)))
        none = np.zeros(count, np.int64)
        self.attempts = np.concatenate((self.attempts, none))
        self.accepted = np.concatenate((self.accepted, none))
        self.error_estimate = np.concatenate((self.error_estimate, np.zeros(count)))

    def count(self, t: Array, nfe: Array, accepted: Array, err_norm: Array) -> None:
        """Note an attempt: where the lanes are now, what they used in all, and how it went. Shapes: each [lane]."""
        # A graph may end a lane without an attempt (no budget left): then its nfe stays.
        self.attempts = self.attempts + (nfe != self.nfe)
        self.t, self.nfe = t, nfe
        self.accepted = self.accepted + accepted
        self.error_estimate = self.error_estimate + np.where(accepted, err_norm, 0.0)

    def solution(self, index: Array, status: Array) -> Solution:
        """What became of some lanes. Shapes: index, status [n]."""
        accepted = self.accepted[index]
        return Solution(
            status=status,
            t=self.t[index],
            nfe=self.nfe[index],
            accepted=accepted,
            rejected=self.attempts[index] - accepted,
            error_estimate=self.error_estimate[index],
        )

    def owned_by(self, requests: list[Request]) -> Array:
        """Shapes: -> [lane] bool."""
        return np.isin(self._ticket, [request.ticket for request in requests])

    def owners(self, index: Array) -> Iterator[tuple[Request, slice, Array]]:
        """The requests of some lanes, of which there is at least one, each with its place among them and its rows.

        A request whose lanes do not all lie side by side comes several times.

        Shapes: index [n], ascending -> rows ascending.
        """
        tickets, rows = self._ticket[index], self._row[index]
        changes = (np.flatnonzero(tickets[1:] != tickets[:-1]) + 1).tolist()
        for first, last in pairwise((0, *changes, len(index))):
            yield self._requests[int(tickets[first])], slice(first, last), rows[first:last]

    def keep(self, index: Array) -> None:
        """Give back every lane but these. Shapes: index [n], ascending."""
        for name in ("_ticket", "_row", "t", "nfe", "attempts", "accepted", "error_estimate"):
            setattr(self, name, getattr(self, name)[index])
        left = set(self._ticket.tolist())
        self._requests = {ticket: request for ticket, request in self._requests.items() if ticket in left}
