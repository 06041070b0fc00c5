"""The warp in front of a flow: its inverse, its determinant, and that a warped density is a density."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from node_model.adjoint import odeint
from node_model.cnf import CNF, CNFConfig
from node_model.solvers import solve_ivp
from node_model.warp import Warp

WARP = Warp(
    centre=(0.3, -1.0, 0.0),
    width=(0.2, 1.5, 30.0),
    offset=(0.5, 0.0, -0.2),
    matrix=((2.0, 0.0, 0.0), (-0.7, 1.5, 0.0), (0.4, 0.1, -9.0)),
)


def test_the_inverse_of_the_inverse_is_the_point(torch_rng):
    z = 20 * torch.randn(50, 3, generator=torch_rng, dtype=torch.float64) ** 3
    torch.testing.assert_close(WARP.inverse(WARP.forward(z)[0]), z, rtol=1e-9, atol=1e-9)


def test_its_log_determinant_is_that_of_the_jacobian(torch_rng):
    z = 3 * torch.randn(5, 3, generator=torch_rng, dtype=torch.float64)
    _, found = WARP.forward(z)
    for point, log_det in zip(z, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: WARP.forward(p[None])[0][0], point)
        assert float(torch.linalg.slogdet(jacobian)[1]) == pytest.approx(float(log_det) + WARP.log_scale, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": (1.0, 0.0, 1.0)}, "widths"),
        ({"offset": (0.0,)}, "3 numbers"),
        ({"matrix": ((0.0,) * 3,) * 3}, "inverse"),
    ],
)
def test_a_warp_that_cannot_be_inverted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Warp(**(asdict(WARP) | change))


def test_a_warped_flow_is_a_density_and_its_program_the_same_one(torch_rng):
    """Against the change of variables of the whole sampling map, and the program against log_prob."""
    config = CNFConfig(mean=(1.0, 0.0, -2.0), std=(2.0, 0.5, 1.0), hidden=(8,), warp=WARP)
    torch.manual_seed(int(torch.randint(2**31, (), generator=torch_rng)))
    model = CNF(config).double()

    def solve(field, y0, t):
        return odeint(field, y0, t, rtol=1e-9, atol=1e-9)

    base = torch.randn(4, 3, generator=torch_rng, dtype=torch.float64)
    with torch.no_grad():
        points = model.sample(base, solve)
        density = model.log_prob(points, solve)
        program = model.programs()[0]
        solution = solve_ivp(
            program.field, program.encode(points), 1.0, [0.0], rtol=1e-9, atol=1e-9, parts=program.parts
        )
        (served,) = program.decode(solution.ys[-1])
    torch.testing.assert_close(served, density, rtol=0, atol=1e-6)
    normal = torch.distributions.Normal(0.0, 1.0)
    for row, found in zip(base, density, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda b: model.sample(b[None], solve)[0], row)
        expected = normal.log_prob(row).sum() - torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_config_survives_its_way_through_json():
    config = CNFConfig(mean=(1.0, 0.0, -2.0), std=(2.0, 0.5, 1.0), hidden=(8,), warp=WARP)
    assert CNFConfig.of(json.loads(json.dumps(asdict(config)))) == config
    assert np.isfinite(config.log_scale)
