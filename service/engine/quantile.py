"""How observed times lie beside predicted ones, followed as requests end."""

import math
import time
from collections.abc import Callable

from service.engine.fading import Fading

RATE = 0.05
LEAST, MOST = 0.1, 20.0


class QuantileFollower:
    """The factor by which predictions must be multiplied for a certain share of observations to stay within.

    It fades while there is nothing to observe.

    Source: Robbins & Monro 1951: a step up for an observation above, one down for one below, in the proportion at which
    both are in balance; here in the logarithm.
    """

    def __init__(self, share: float, factor: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share = share
        self._followed = Fading(factor, clock)

    @property
    def nominal(self) -> float:
        """What the factor was before anything was observed."""
        return self._followed.nominal

    @property
    def factor(self) -> float:
        """What it is at present."""
        return self._followed.now()

    @factor.setter
    def factor(self, value: float) -> None:
        self._followed.set(value)

    def doubt(self) -> None:
        """Forget half of what was learned."""
        self._followed.halve()

    def observe(self, ratio: float) -> None:
        """Something took so many times as long as predicted."""
        factor = self.factor
        step = RATE * (self._share if ratio > factor else self._share - 1)
        self.factor = min(max(factor * math.exp(step), LEAST), MOST)
