"""How observed times lie beside predicted ones, followed as requests end."""

import math

RATE = 0.05
LEAST, MOST = 0.1, 20.0


class QuantileFollower:
    """The factor by which predictions must be multiplied for a certain share of observations to stay within.

    Source: Robbins & Monro 1951: a step up for an observation above, one down for one below, in the proportion at which
    both are in balance; here in the logarithm.
    """

    def __init__(self, share: float, factor: float) -> None:
        self._share = share
        self.factor = factor

    def observe(self, ratio: float) -> None:
        """Something took so many times as long as predicted."""
        step = RATE * (self._share if ratio > self.factor else self._share - 1)
        self.factor = min(max(self.factor * math.exp(step), LEAST), MOST)
