"""Who goes next on a shard, and how many rows may enter: pure policy."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from service.engine.admission import Key

QUANTUM = 3e-3
"""Seconds a model may run before the others have their turn: about one long step."""
REFILL = 0.25
"""Part of the lanes that must be free before rows join running ones: each refill costs a run of two small graphs."""

Name = TypeVar("Name", bound=object)


class DeficitRoundRobin(Generic[Name]):
    """Takes turns in seconds, not in steps, so that a slow step costs its owner a longer wait.

    A newcomer goes first with one quantum: what is asked for seldom is answered soon.

    Source: Shreedhar & Varghese 1995, Efficient Fair Queueing Using Deficit Round-Robin; newcomers first as in
    RFC 8290, section 4.2.
    """

    def __init__(self, quantum: float = QUANTUM) -> None:
        self._quantum = quantum
        self._credit: OrderedDict[Name, float] = OrderedDict()

    def pick(self, active: Collection[Name]) -> Name:
        """Whose turn it is among the active ones, of which there is at least one."""
        for name in [name for name in self._credit if name not in active]:
            del self._credit[name]
        for name in active:
            if name not in self._credit:
                self._credit[name] = self._quantum
                self._credit.move_to_end(name, last=False)
        # Rounds in which nobody gets out of debt, all at once: a step may have been thousands of quanta long.
        rounds = min(-credit // self._quantum for credit in self._credit.values())
        if rounds > 0:
            for name in self._credit:
                self._credit[name] += rounds * self._quantum
        while True:
            name, credit = next(iter(self._credit.items()))
            if credit > 0:
                return name
            self._credit[name] = credit + self._quantum
            self._credit.move_to_end(name)

    def charge(self, name: Name, seconds: float) -> None:
        """It ran for so long."""
        self._credit[name] -= seconds


class Scheduler:
    """Turns of models by time; within a model the lanes with the earliest due row.

    Lanes that are passed over fill up meanwhile, and a fuller step costs less a lane.
    """

    def __init__(self) -> None:
        self._programs: DeficitRoundRobin[str] = DeficitRoundRobin()

    def pick(self, due: Mapping[Key, float]) -> Key:
        """Which lanes step next among those with something to do, of which there is at least one."""
        program = self._programs.pick({program: None for program, _ in due})
        return min((key for key in due if key[0] == program), key=due.__getitem__)

    def charge(self, key: Key, seconds: float) -> None:
        """The lanes of a kind took so long."""
        self._programs.charge(key[0], seconds)


def entering(waiting: int, running: int, elsewhere: int, width: int, shards: int) -> int:
    """How many waiting rows enter a shard that has `running` lanes of their kind, the others having `elsewhere`.

    So many that all shards have equally many lanes; a shard without any takes at least one. Running lanes are joined
    only once a quarter of the width is free.
    """
    free = width - running
    if running and free < REFILL * width:
        return 0
    share = -(-(waiting + running + elsewhere) // shards) - running
    return max(0, min(waiting, free, share))
