"""Flow matching: the pairing is the best there is, and a field that matches carries the normal to the data."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

from node_model.adjoint import odeint
from node_model.cnf import CNF, CNFConfig
from training.flow_matching import PAIRED, flow_matching_loss, paired


def test_no_other_pairing_is_shorter(rng):
    draws, points = (rng.standard_normal((6, 3)).astype(np.float32) for _ in range(2))
    length = np.square(draws[paired(draws, points)] - points).sum()
    others = [np.square(draws[list(order)] - points).sum() for order in itertools.permutations(range(6))]
    assert length == pytest.approx(min(others), rel=1e-5)


def test_large_batches_are_paired_in_blocks(rng):
    draws, points = (rng.standard_normal((600, 2)).astype(np.float32) for _ in range(2))
    order = paired(draws, points)
    assert sorted(order) == list(range(600))
    assert (order // PAIRED == np.arange(600) // PAIRED).all()


def test_the_loss_is_that_of_the_straight_paths(rng):
    """A field that is the same everywhere has the mean displacement as its best value."""
    torch.manual_seed(0)
    model = CNF(CNFConfig(mean=(1.0, -2.0), std=(2.0, 0.5), hidden=()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.field.layers[0].bias.copy_(torch.tensor([0.3, -0.7]))
    points = torch.from_numpy((np.array([1.0, -2.0]) + rng.standard_normal((50, 2)) * [2.0, 0.5]).astype(np.float32))
    seed = int(rng.integers(2**31))
    found = float(flow_matching_loss(model, points, np.random.default_rng(seed)).detach())
    x1 = (points.numpy() - [1.0, -2.0]) / [2.0, 0.5]
    draws = np.random.default_rng(seed).standard_normal((50, 2)).astype(np.float32)
    moved = x1 - draws[paired(draws, x1.astype(np.float32))]
    assert found == pytest.approx(np.square([0.3, -0.7] - moved).mean(), rel=1e-4)


def test_a_matched_flow_has_the_density_of_the_data(rng):
    """Two clusters on a line, whose density is known."""
    torch.manual_seed(1)
    model = CNF(CNFConfig(mean=(0.0,), std=(1.0,), hidden=(48, 48)))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    draw = np.random.default_rng(2)

    def clusters(count):
        return draw.choice([-1.0, 1.0], (count, 1)) + 0.35 * draw.standard_normal((count, 1))

    for step in range(1500):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / 1500)
        optimiser.zero_grad()
        flow_matching_loss(model, torch.from_numpy(clusters(256).astype(np.float32)), draw).backward()
        optimiser.step()
    test = clusters(2000)
    with torch.no_grad():
        found = model.log_prob(torch.from_numpy(test).float(), partial(odeint, rtol=1e-5, atol=1e-5))
    density = sum(np.exp(-0.5 * ((test - c) / 0.35) ** 2) for c in (-1, 1)) / (2 * 0.35 * np.sqrt(2 * np.pi))
    assert float(found.mean()) == pytest.approx(float(np.log(density).mean()), abs=0.05)
