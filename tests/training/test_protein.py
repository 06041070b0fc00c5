"""The protein table: cleaned before it is split, and warped by what its training rows show."""

import numpy as np
import pytest
import torch

from training.config import RunConfig
from training.data import generator, load_points
from training.tasks import DensityTask
from training.warp_fit import fitted_warp


@pytest.fixture(scope="module")
def protein():
    import os
    from pathlib import Path

    folder = os.environ.get("ODETRAIN_DATA")
    if not folder or not (Path(folder) / "tabular" / "protein").is_dir():
        pytest.skip("the protein table is not on this machine: set ODETRAIN_DATA")
    return load_points("protein", seed=0)


def test_no_row_is_on_both_sides_of_the_split(protein):
    assert len(protein.train) + len(protein.held) == 39_607
    assert protein.test.shape == (4_411, 8)
    rows = np.concatenate([protein.train, protein.held, protein.test])
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_the_gaussian_has_the_density_that_others_found(protein):
    mean, std = np.array(protein.mean), np.array(protein.std)
    train, test = (protein.train - mean) / std, (protein.test - mean) / std
    covariance = np.cov(train.T)
    off = test - train.mean(0)
    squared = np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off)
    density = -0.5 * squared - 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    assert density.mean() == pytest.approx(-6.19, abs=0.15)


def test_a_fitted_warp_makes_points_white_and_draws_tails_in():
    rng = generator(5)
    normal = rng.standard_normal((4_000, 3)) @ np.array([[1.0, 0.9, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 1.0]])
    z = np.stack([normal[:, 0], np.sinh(2 * normal[:, 1]), normal[:, 2]], 1)
    warped, _ = fitted_warp(z).forward(torch.from_numpy(z))
    assert np.cov(warped.numpy().T) == pytest.approx(np.eye(3), abs=1e-6)
    assert np.mean(warped.numpy()[:, 1] ** 4) < 4 < np.mean((z[:, 1] / z[:, 1].std()) ** 4)


def test_a_toy_has_no_rows_to_fit_a_warp_to():
    config = RunConfig(family="cnf", data="two-moons", warp=True)
    with pytest.raises(ValueError, match="warp"):
        DensityTask(config, load_points("two-moons", seed=0))


def test_hutchinsons_loss_is_the_exact_one_on_average_over_steps():
    def task(trace):
        torch.manual_seed(3)
        config = RunConfig(family="cnf", data="two-moons", batch_size=200, tol=1e-4, trace=trace, threads=1)
        return DensityTask(config, load_points("two-moons", seed=0))

    exact, estimated = task("exact"), task("hutchinson")
    with torch.no_grad():
        off = [float(estimated.loss(step) - exact.loss(step)) for step in range(10)]
    assert max(map(abs, off)) > 1e-5
    assert abs(np.mean(off)) < 5 * np.std(off) / np.sqrt(len(off)) + 1e-4
