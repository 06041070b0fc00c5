"""The densities that the toys are drawn from, and their entropies: what no model can do better than."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ToyDensity:
    """A density over the plane and a square that holds all of it but 1e-6.

    Shapes: log_density [point, 2] -> [point]. Units: nats.
    """

    log_density: Callable[[Array], Array]
    reach: float  # the square is [-reach, reach]^2
    cell: float  # side of a quadrature cell, at most half the narrowest standard deviation

    def entropy(self) -> float:
        """-E log p in nats, by the midpoint rule.

        Source: for a smooth density that decays within the square the rule converges faster than any power of the cell.
        """
        points, area = self.grid()
        log_p = self.log_density(points)
        there = log_p[log_p > -700]
        return float(-np.sum(np.exp(there) * there) * area)

    def grid(self) -> tuple[Array, float]:
        """Midpoints of the quadrature cells, and the area of one. Shapes: [point, 2]."""
        count = round(2 * self.reach / self.cell)
        axis = (np.arange(count) + 0.5) * (2 * self.reach / count) - self.reach
        return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), (2 * self.reach / count) ** 2


def _gaussian_mixture(points: Array, centres: Array, deviation: float) -> Array:
    """Log-density of equally weighted round Gaussians. Shapes: [point, 2], [centre, 2] -> [point]."""
    nearest = np.full(len(points), -np.inf)
    for centre in centres:
        squared = np.square(points - centre).sum(1)
        nearest = np.logaddexp(nearest, -squared / (2 * deviation**2))
    return np.asarray(nearest - math.log(len(centres) * 2 * math.pi * deviation**2))


def _two_moons(points: Array) -> Array:
    """Two half circles blurred by 0.1; the circle's integral by 200 midpoints, 0.016 apart."""
    angle = (np.arange(200) + 0.5) * np.pi / 200
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    return _gaussian_mixture(points, np.concatenate([upper, lower]), 0.1)


def _eight_gaussians(points: Array) -> Array:
    angle = 2 * np.pi * np.arange(8) / 8
    return _gaussian_mixture(points, 2 * np.stack([np.cos(angle), np.sin(angle)], 1), 0.2)


def _checkerboard(points: Array) -> Array:
    square = np.floor((points + 4) / 2)
    inside = (np.abs(points) < 4).all(1) & (square.sum(1) % 2 == 0)
    return np.where(inside, -math.log(32), -np.inf)


def _pinwheel(points: Array) -> Array:
    """Gaussian arms bent by a turn of rate * exp(radius).

    A point is 2 R(arm + rate e^r) (r, a). At distance d = |point| / 2 from the centre, (r, a) is d (cos alpha,
    sin alpha), and alpha solves alpha + rate e^(d cos alpha) + arm = direction of the point. Every root counts.
    """
    arms, rate = 5, 0.25
    alpha = np.linspace(-np.pi, np.pi, 401)
    total = np.zeros(len(points))
    distance, direction = np.linalg.norm(points, axis=1) / 2, np.arctan2(points[:, 1], points[:, 0])
    turned = alpha + rate * np.exp(distance[:, None] * np.cos(alpha))
    for arm in range(arms):
        miss = turned + 2 * np.pi * arm / arms - direction[:, None]
        miss -= 2 * np.pi * np.round(miss / (2 * np.pi))
        left, right = miss[:, :-1], miss[:, 1:]
        which, where = np.nonzero((left * right <= 0) & (np.abs(left - right) < 1) & (left != 0))
        share = left[which, where] / (left[which, where] - right[which, where])
        root, d = alpha[where] + share * (alpha[1] - alpha[0]), distance[which]
        for _ in range(3):  # Newton, from where the chord crosses
            off = root + rate * np.exp(d * np.cos(root)) + 2 * np.pi * arm / arms - direction[which]
            off -= 2 * np.pi * np.round(off / (2 * np.pi))
            root = root - off / (1 - rate * d * np.sin(root) * np.exp(d * np.cos(root)))
        radius, across = d * np.cos(root), d * np.sin(root)
        spread = np.abs(4 * (1 - rate * np.exp(radius) * across))
        base = np.exp(-(((radius - 1) / 0.3) ** 2) / 2 - (across / 0.1) ** 2 / 2) / (2 * np.pi * 0.3 * 0.1)
        np.add.at(total, which, base / np.maximum(spread, 1e-12) / arms)
    with np.errstate(divide="ignore"):
        return np.log(total)


TOY_DENSITIES = {
    "two-moons": ToyDensity(_two_moons, reach=2.7, cell=0.02),
    "pinwheel": ToyDensity(_pinwheel, reach=5.0, cell=0.05),
    "8gaussians": ToyDensity(_eight_gaussians, reach=3.3, cell=0.05),
    "checkerboard": ToyDensity(_checkerboard, reach=4.0, cell=0.1),
}
