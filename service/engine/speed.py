"""Seconds that things take on this machine: measured when a model is loaded, their pace followed while it serves."""

from collections.abc import Mapping
from itertools import pairwise

MEMORY_SECONDS = 1.0
"""How much work the pace looks back on."""
TURN_SECONDS = 3e-4
"""What a turn costs beside the step itself."""


class Speed:
    """Nominal seconds, which stay, and the pace: how many real seconds a nominal one takes at present.

    Order is made in nominal seconds, so that it does not move with the machine's load; waiting is told in real ones.
    Several shards correct the pace without a lock: a lost update is a measurement less, nothing worse.

    `start` is what a row's encoding and first evaluation take, `steps` what a step takes by method and number of lanes,
    `evaluations` what a lane evaluation takes in a step of full width. Units: seconds.
    """

    def __init__(
        self, start: float, evaluations: Mapping[str, float], steps: Mapping[str, Mapping[int, float]]
    ) -> None:
        self._start = start
        self._evaluations = dict(evaluations)
        self._steps = {method: sorted(seconds.items()) for method, seconds in steps.items()}
        self.pace = 1.0

    def nominal(self, rows: int, method: str, nfe: float) -> float:
        """Seconds of one shard's time for rows of so many evaluations each, their encoding included."""
        return rows * (self._start + nfe * self._evaluations[method])

    def latency(self, rows: int, method: str, attempts: float, lanes: int) -> float:
        """Real seconds from the first row's start to the end of `rows` rows that start together and make so many
        attempts each, in steps of so many lanes."""
        return self.pace * (rows * self._start + attempts * (self._step(method, lanes) + TURN_SECONDS))

    def started(self, rows: int, seconds: float) -> None:
        """`rows` rows were encoded together and their first evaluations made."""
        self._follow(rows * self._start, seconds)

    def stepped(self, method: str, evaluations: int, seconds: float) -> None:
        """A step made so many lane evaluations."""
        self._follow(evaluations * self._evaluations[method], seconds)

    def _step(self, method: str, lanes: int) -> float:
        """Between measured widths in a straight line, and on beyond them."""
        measured = self._steps[method]
        if len(measured) == 1:
            return measured[0][1]
        (before, least), (after, most) = next(
            (pair for pair in pairwise(measured) if lanes <= pair[1][0]), (measured[-2], measured[-1])
        )
        return least + (most - least) * (lanes - before) / (after - before)

    def _follow(self, nominal: float, seconds: float) -> None:
        weight = nominal / (nominal + MEMORY_SECONDS)
        self.pace += weight * (seconds / nominal - self.pace)
