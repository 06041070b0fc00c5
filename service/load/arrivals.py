"""When to ask for what: a Poisson stream over a mix of tolerances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrival:
    """A request to be sent. Units: `at` in seconds from the beginning."""

    at: float
    tol: str
    body: int


def poisson_arrivals(rate: float, seconds: float, tols: Sequence[str], bodies: int, seed: int) -> list[Arrival]:
    """Arrivals at `rate` a second, each with a tolerance and a body drawn alike from those there are."""
    draw = np.random.default_rng(seed)
    count = int(draw.poisson(rate * seconds))
    times = np.sort(draw.uniform(0, seconds, count))
    which, what = draw.integers(len(tols), size=count), draw.integers(bodies, size=count)
    return [Arrival(float(at), tols[t], int(b)) for at, t, b in zip(times, which, what, strict=True)]
