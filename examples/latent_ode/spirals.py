"""Spirals in the plane, seen at a few irregular moments through noise; what comes after is to be foretold.

After the spirals of Chen et al. 2018, section 5.1: half turn one way and half the other, every one begins elsewhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SEEN_UNTIL, END = 1.0, 2.0
"""Observations lie in [0, 1], the series goes on to 2. Units: turns, about."""
MOST_SEEN, FEWEST_SEEN = 50, 15
NOISE = 0.05
COLUMNS = ("time", "x", "y", "observed")
"""Of an input. Fewer observations than MOST_SEEN leave rows of zeros at its end, `observed` among them."""


@dataclass(frozen=True)
class Spirals:
    """Series of which everything is known.

    Shapes: the numbers below [series].
    """

    phase: npt.NDArray[np.float64]
    speed: npt.NDArray[np.float64]
    radius: npt.NDArray[np.float64]
    growth: npt.NDArray[np.float64]

    def at(self, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where they truly are. Shapes: [series, time] -> [series, time, 2]."""
        angle = self.phase[:, None] + 2 * np.pi * self.speed[:, None] * t
        radius = self.radius[:, None] + self.growth[:, None] * t
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def draw(rng: np.random.Generator, count: int) -> Spirals:
    """Some spirals, half of them clockwise."""
    turns = np.where(rng.random(count) < 0.5, 1, -1)
    return Spirals(
        phase=rng.uniform(0, 2 * np.pi, count),
        speed=turns * rng.uniform(0.8, 1.2, count),
        radius=rng.uniform(0.3, 0.7, count),
        growth=rng.uniform(0.1, 0.4, count),
    )


def observe(rng: np.random.Generator, spirals: Spirals) -> npt.NDArray[np.float32]:
    """What is seen of each: FEWEST_SEEN to MOST_SEEN moments anywhere in [0, 1]. Shapes: -> [series, MOST_SEEN, 4]."""
    count = len(spirals.phase)
    seen = np.arange(MOST_SEEN) < rng.integers(FEWEST_SEEN, MOST_SEEN + 1, count)[:, None]
    moments = np.sort(np.where(seen, rng.uniform(0, SEEN_UNTIL, seen.shape), np.inf), 1)
    times = np.where(seen, moments, 0.0)
    places = spirals.at(times) + NOISE * rng.standard_normal((*times.shape, 2))
    table = np.concatenate([times[..., None], places, np.ones_like(times)[..., None]], -1)
    return np.where(seen[..., None], table, 0.0).astype(np.float32)


def held_out(count: int) -> tuple[Spirals, npt.NDArray[np.float32]]:
    """Spirals that no training saw, the same ones each time, and what is seen of them."""
    rng = np.random.default_rng(20_181_206)
    spirals = draw(rng, count)
    return spirals, observe(rng, spirals)
