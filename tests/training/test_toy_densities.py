"""The toys' densities: they hold mass one, and their samplers draw from them."""

import math

import numpy as np
import pytest

from training.data import TOYS, generator
from training.toy_densities import TOY_DENSITIES


@pytest.mark.parametrize("toy", list(TOYS))
def test_a_toy_density_has_mass_one_and_the_entropy_that_its_samples_show(toy):
    density = TOY_DENSITIES[toy]
    points, area = density.grid()
    log_p = density.log_density(points)
    assert np.exp(log_p).sum() * area == pytest.approx(1, abs=1e-5)
    entropy = -np.sum(np.exp(log_p[log_p > -700]) * log_p[log_p > -700]) * area
    surprise = -density.log_density(TOYS[toy](generator(1), 5_000))
    assert abs(surprise.mean() - entropy) < 5 * surprise.std() / math.sqrt(len(surprise)) + 1e-9


def test_entropies_of_closed_form():
    assert TOY_DENSITIES["checkerboard"].entropy() == pytest.approx(math.log(32))
    # eight Gaussians that barely overlap: log 8 + the entropy of one
    apart = math.log(8) + math.log(2 * math.pi * math.e * 0.2**2)
    assert TOY_DENSITIES["8gaussians"].entropy() == pytest.approx(apart, abs=1e-3)


@pytest.mark.parametrize("toy", list(TOYS))
def test_samples_fall_in_a_cell_as_often_as_the_density_says(toy, rng):
    """The mass of random half planes, which an error of position or of scale would change."""
    density = TOY_DENSITIES[toy]
    points, area = density.grid()
    mass = np.exp(density.log_density(points)) * area
    drawn = TOYS[toy](rng, 20_000)
    for angle in rng.uniform(0, 2 * np.pi, 3):
        direction = np.array([np.cos(angle), np.sin(angle)])
        offset = rng.uniform(-0.5, 0.5)
        share = ((drawn @ direction) > offset).mean()
        assert abs(share - mass[points @ direction > offset].sum()) < 0.03
