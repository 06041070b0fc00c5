"""Seconds that things take on this machine, measured when a model is loaded and corrected while it serves."""

from collections.abc import Mapping

WEIGHT = 0.02
"""Of a new measurement in the running mean."""


class Speed:
    """Seconds per row. Corrections move predictions and scheduling, never an answer.

    Several shards correct the same number without a lock: a lost update is a measurement less, nothing worse.
    """

    def __init__(self, start: float, evaluations: Mapping[str, float]) -> None:
        self.start = start
        """Encoding a row and its first evaluation."""
        self._evaluations = dict(evaluations)

    def evaluation(self, method: str) -> float:
        """One field evaluation of one lane, its share of the step around it included."""
        return self._evaluations[method]

    def started(self, rows: int, seconds: float) -> None:
        """`rows` rows were started together."""
        self.start += WEIGHT * (seconds / rows - self.start)

    def stepped(self, method: str, evaluations: int, seconds: float) -> None:
        """A step made so many lane evaluations."""
        known = self._evaluations[method]
        self._evaluations[method] = known + WEIGHT * (seconds / evaluations - known)
