"""The planar flow: its determinant is that of its Jacobian, and sampling undoes the map."""

import pytest
import torch

from node_model.cnf import CNFConfig, standard_normal_log_density
from training.planar import PlanarFlow


@pytest.fixture
def flow(torch_rng):
    made = PlanarFlow(CNFConfig(mean=(0.3, -0.1), std=(2.0, 0.5)), layers=5).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(2 * torch.randn(parameter.shape, generator=torch_rng, dtype=torch.float64))
    return made


def test_the_log_density_is_that_of_the_base_and_the_jacobian(flow, torch_rng):
    points = torch.randn(4, 2, generator=torch_rng, dtype=torch.float64)

    def to_base(x):
        z = (x - torch.tensor(flow.config.mean, dtype=torch.float64)) / torch.tensor(
            flow.config.std, dtype=torch.float64
        )
        for layer in flow.layers:
            z = layer(z[None])[0][0]
        return z

    for point, found in zip(points, flow.log_prob(points), strict=True):
        jacobian = torch.autograd.functional.jacobian(to_base, point)
        expected = standard_normal_log_density(to_base(point)[None])[0] + torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(found, expected)


def test_samples_are_mapped_back_to_their_base_draws(flow, torch_rng):
    base = torch.randn(100, 2, generator=torch_rng, dtype=torch.float64)
    with torch.no_grad():
        z = (flow.sample(base) - torch.tensor(flow.config.mean, dtype=torch.float64)) / torch.tensor(
            flow.config.std, dtype=torch.float64
        )
        for layer in flow.layers:
            z = layer(z)[0]
    torch.testing.assert_close(z, base, rtol=0, atol=1e-9)
