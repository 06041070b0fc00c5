"""Seconds that things take on this machine: measured when a model is loaded, their pace followed while it serves."""

from collections.abc import Mapping

MEMORY_SECONDS = 1.0
"""How much work the pace looks back on."""


class Speed:
    """Nominal seconds, which stay, and the pace: how many real seconds a nominal one takes at present.

    Order is made in nominal seconds, so that it does not move with the machine's load; waiting is told in real ones.
    Several shards correct the pace without a lock: a lost update is a measurement less, nothing worse.
    """

    def __init__(self, start: float, evaluations: Mapping[str, float]) -> None:
        self._start = start
        self._evaluations = dict(evaluations)
        self.pace = 1.0

    def nominal(self, rows: int, method: str, nfe: float) -> float:
        """Seconds of one shard's time for rows of so many evaluations each, their encoding included."""
        return rows * (self._start + nfe * self._evaluations[method])

    def started(self, rows: int, seconds: float) -> None:
        """`rows` rows were encoded together and their first evaluations made."""
        self._follow(rows * self._start, seconds)

    def stepped(self, method: str, evaluations: int, seconds: float) -> None:
        """A step made so many lane evaluations."""
        self._follow(evaluations * self._evaluations[method], seconds)

    def _follow(self, nominal: float, seconds: float) -> None:
        weight = nominal / (nominal + MEMORY_SECONDS)
        self.pace += weight * (seconds / nominal - self.pace)
