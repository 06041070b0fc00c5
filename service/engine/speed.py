"""Seconds that things take on this machine: measured when a model is loaded, their pace followed while it serves."""

from collections.abc import Mapping
from itertools import pairwise

MEMORY_SECONDS = 1.0
"""How much work the pace looks back on."""
TURN_SECONDS = 3e-4
"""What a turn costs beside the step itself."""


class Speed:
    """Nominal seconds, which stay, and the pace: how many real seconds a nominal one takes at present.

    Nominal is work in steps of full width. Steps of few lanes take longer a lane, which the pace says too; `stretch` is
    how many times as long as on loading a turn of the very same width takes.

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
        self.stretch = 1.0

    def nominal(self, rows: int, method: str, nfe: float) -> float:
        """Seconds of one shard's time for rows of so many evaluations each, their encoding included."""
        return rows * (self._start + nfe * self._evaluations[method])

    def latency(self, rows: int, method: str, attempts: float, lanes: int) -> float:
        """Real seconds from the first row's start to the end of `rows` rows that start together and make so many
        attempts each, in steps of so many lanes."""
        return self.stretch * (rows * self._start + attempts * (self._step(method, lanes) + TURN_SECONDS))

    def started(self, rows: int, seconds: float) -> None:
        """`rows` rows were encoded together and their first evaluations made."""
        self.pace = _followed(self.pace, rows * self._start, seconds)

    def stepped(self, method: str, evaluations: int, seconds: float) -> None:
        """A step made so many lane evaluations."""
        self.pace = _followed(self.pace, evaluations * self._evaluations[method], seconds)

    def turned(self, method: str, entered: int, lanes: int, seconds: float) -> None:
        """A whole turn: so many rows entered and so many lanes made a step."""
        nominal = TURN_SECONDS + entered * self._start + self._step(method, lanes)
        self.stretch = _followed(self.stretch, nominal, seconds)

    def _step(self, method: str, lanes: int) -> float:
        """Between measured widths in a straight line, and on beyond them."""
        measured = self._steps[method]
        if len(measured) == 1:
            return measured[0][1]
        (before, least), (after, most) = next(
            (pair for pair in pairwise(measured) if lanes <= pair[1][0]), (measured[-2], measured[-1])
        )
        return least + (most - least) * (lanes - before) / (after - before)


def _followed(ratio: float, nominal: float, seconds: float) -> float:
    """A ratio of real to nominal seconds after one more measurement."""
    weight = nominal / (nominal + MEMORY_SECONDS)
    return ratio + weight * (seconds / nominal - ratio)
