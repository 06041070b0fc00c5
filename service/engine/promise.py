"""How much longer requests take than was predicted, at the worst: what a deadline has to leave room for."""

import math

KEPT = 0.995
"""Share of requests that shall end within their prediction times `factor`."""
RATE = 0.05
LEAST, MOST = 1.0, 20.0


class Promise:
    """The quantile of observed over predicted time, followed as requests end.

    Source: Robbins & Monro 1951: a step up for a request that took longer, a small one down for one that did not, in
    the proportion at which both are in balance; here in the logarithm.
    """

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def observe(self, predicted: float, taken: float) -> None:
        """A request was predicted to take so long, and took so long. Units: seconds, both more than zero."""
        step = RATE * KEPT if taken > self.factor * predicted else -RATE * (1 - KEPT)
        self.factor = min(max(self.factor * math.exp(step), LEAST), MOST)
