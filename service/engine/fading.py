"""What was learned of the machine's speed counts while it is measured, and fades while it is not."""

import math
from collections.abc import Callable

QUIET_SECONDS = 2.0
"""Without a measurement for so long what was learned begins to fade."""
FADE_SECONDS = 60.0
"""In so many seconds its logarithm falls to a third."""


class Fading:
    """A ratio that is set by measurements and, without any, drifts back to what it was at first.

    What keeps requests out on account of a ratio keeps away the measurements that could correct it: were it not to
    fade, a moment's slowness would last.
    """

    def __init__(self, nominal: float, clock: Callable[[], float]) -> None:
        self.nominal = nominal
        self._clock = clock
        self._value = nominal
        self._at = clock()

    def now(self) -> float:
        """The ratio at present."""
        return self.before(0.0)

    def before(self, seconds: float) -> float:
        """What it was so many seconds ago, before a measurement that took so long."""
        idle = self._clock() - seconds - self._at - QUIET_SECONDS
        return self._value if idle <= 0 else self._faded(math.exp(-idle / FADE_SECONDS))

    def follow(self, measured: float, weight: float, seconds: float, most: float) -> None:
        """Move towards a measurement, which took so long and counts as at most so many times the ratio before it."""
        now = self._clock()
        ratio = self._value
        if now - seconds - self._at > QUIET_SECONDS:
            ratio = self.before(seconds)
        self._value, self._at = ratio + weight * (min(measured, most * ratio) - ratio), now

    def set(self, value: float) -> None:
        """It was measured."""
        self._value, self._at = value, self._clock()

    def halve(self) -> None:
        """Forget half of what was learned."""
        self.set(self._faded(0.5))

    def _faded(self, kept: float) -> float:
        return self.nominal * math.pow(self._value / self.nominal, kept)
