"""Attempts as they were made, for requests that want to see how their rows were solved."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.engine.stepper import Array, Lanes, Stepper

Show = Callable[[Stepper, Lanes], tuple[Array, ...]]
"""What is kept of lanes at a time they have reached. Shapes: -> each [lane, ...]."""


@dataclass(frozen=True)
class Attempts:
    """Attempts in the order in which they were made; the first entry is the start, accepted, with dt 0.

    `t` is where an attempt led to, whether it was accepted or not; `dt` its length, a magnitude. `shown` has an entry
    for each accepted one.

    Shapes: t, dt, accepted, ratio [attempt]; shown each [accepted attempt, ...].
    """

    t: Array
    dt: Array
    accepted: Array
    ratio: Array
    shown: tuple[Array, ...]


@dataclass(frozen=True)
class _Noted:
    """One attempt of several rows. Shapes: rows [n] and the others, as in Attempts."""

    rows: Array
    attempts: Attempts


class Trace:
    """What was seen of a request. Shards add to it while others do; a row is on one shard alone."""

    def __init__(self) -> None:
        self._noted: list[_Noted] = []

    def note(self, rows: Array, attempts: Attempts) -> None:
        """One attempt of some rows. Shapes: rows [n], as `attempts`."""
        self._noted.append(_Noted(rows, attempts))

    def of(self, rows: Array) -> list[Attempts]:
        """All attempts of some rows; nothing of those that were never begun. Shapes: rows [n] -> n of them."""
        noted = [one for one in list(self._noted) if np.isin(one.rows, rows).any()]
        if not noted:
            none = np.zeros(0)
            return [Attempts(none, none, none > 0, none, ()) for _ in rows]
        owner = np.concatenate([one.rows for one in noted])
        accepted = np.concatenate([one.attempts.accepted for one in noted])
        order, taken = np.argsort(owner, kind="stable"), np.argsort(owner[accepted], kind="stable")
        t, dt, done, ratio = (
            np.concatenate([getattr(one.attempts, name) for one in noted])[order]
            for name in ("t", "dt", "accepted", "ratio")
        )
        shown = [
            np.concatenate(pieces)[taken]
            for pieces in zip(*(one.attempts.shown for one in noted if one.attempts.accepted.any()), strict=True)
        ]
        ends = [np.searchsorted(np.sort(rows_), (rows, rows + 1)).T for rows_ in (owner, owner[accepted])]
        return [
            Attempts(t[a:b], dt[a:b], done[a:b], ratio[a:b], tuple(array[c:d] for array in shown))
            for (a, b), (c, d) in zip(*(pairs.tolist() for pairs in ends), strict=True)
        ]
