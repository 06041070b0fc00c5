"""Continuous normalizing flows: densities that are densities."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from node_model.adjoint import odeint, odeint_adjoint
from node_model.cnf import CNF, CNFConfig, standard_normal_log_density
from node_model.solvers import solve_ivp
from node_model.status import Status


@pytest.fixture(autouse=True)
def _fresh_weights(rng):
    torch.manual_seed(int(rng.integers(2**31)))


def at(tol, integrate=odeint):
    return lambda field, y0, t: integrate(field, y0, t, rtol=tol, atol=tol)


def flow(dim=2, hidden=(16, 16), scale=1.5):
    """A randomly initialised flow, its weights scaled up so that it bends."""
    mean, std = tuple(0.3 * i - 0.2 for i in range(dim)), tuple(0.5 + 0.7 * i for i in range(dim))
    model = CNF(CNFConfig(mean=mean, std=std, hidden=hidden)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def run(program, inputs, args=(), tol=1e-9):
    """encode, solve per lane, decode."""
    solution = solve_ivp(
        program.field,
        program.encode(inputs),
        program.interval[0],
        [program.interval[1]],
        rtol=tol,
        atol=tol,
        parts=program.parts,
        args=args,
    )
    assert solution.status.tolist() == [Status.OK] * len(inputs)
    return solution.ys[-1], program.decode(solution.ys[-1])[0]


def programs(model):
    return {program.name: program for program in model.programs()}


def test_a_linear_field_gives_the_gaussian_of_the_closed_form():
    model = flow(dim=3, hidden=())
    weight, bias = (p.detach().numpy() for p in model.field.layers[0].parameters())
    # x' = A x + w t + b, written as one linear system over (x, t, 1).
    system = np.zeros((5, 5))
    system[:3, :3], system[:3, 3], system[:3, 4], system[3, 4] = weight[:, 1:], weight[:, 0], bias, 1
    moved = expm(system)
    std, mean = np.array(model.config.std), np.array(model.config.mean)
    gaussian = multivariate_normal(
        mean=mean + std * moved[:3, 4], cov=(std[:, None] * moved[:3, :3]) @ (std[:, None] * moved[:3, :3]).T
    )
    points = torch.from_numpy(gaussian.rvs(50, random_state=int(torch.randint(2**31, ()))) * 1.5)
    expected = torch.from_numpy(gaussian.logpdf(points.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(points, at(1e-7)), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(run(programs(model)["log_density"], points)[1], expected, rtol=0, atol=1e-6)
        base = torch.randn(50, 3, dtype=torch.float64)
        exact = mean + std * (base.numpy() @ moved[:3, :3].T + moved[:3, 4])
        torch.testing.assert_close(model.sample(base, at(1e-9)), torch.from_numpy(exact), rtol=0, atol=1e-6)


def test_the_density_of_a_random_flow_integrates_to_one():
    model = flow()
    with torch.no_grad():
        drawn = model.sample(torch.randn(4000, 2, dtype=torch.float64), at(1e-4))
        low, high = drawn.amin(0), drawn.amax(0)
        low, high = low - 0.25 * (high - low), high + 0.25 * (high - low)
        axes = [torch.linspace(float(a), float(b), 151, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        points = torch.cartesian_prod(*axes)
        density = model.log_prob(points, at(1e-5)).exp()
    cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
    assert float(density.sum()) * cell == pytest.approx(1, abs=0.01)


def test_the_inverse_of_the_inverse_gives_the_base_draw_back():
    model = flow()
    base = torch.randn(64, 2, dtype=torch.float64)
    with torch.no_grad():
        points = model.sample(base, at(1e-10))
        state, log_density = run(programs(model)["log_density"], points, tol=1e-10)
        _, again = run(programs(model)["sample"], state[:, :2], tol=1e-10)
    torch.testing.assert_close(state[:, :2], base, rtol=0, atol=1e-7)
    torch.testing.assert_close(again, points, rtol=0, atol=1e-7)
    torch.testing.assert_close(
        standard_normal_log_density(base) + state[:, 2] + model.config.log_jacobian, log_density, rtol=0, atol=1e-6
    )


def test_the_log_density_is_that_of_the_base_less_the_log_determinant_of_the_sampling_map():
    model = flow()
    for base in torch.randn(3, 2, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(lambda z: model.sample(z[None], at(1e-9))[0], base)
        expected = float(standard_normal_log_density(base[None])) - float(torch.linalg.slogdet(jacobian)[1])
        with torch.no_grad():
            point = model.sample(base[None], at(1e-9))
            assert float(model.log_prob(point, at(1e-9))) == pytest.approx(expected, abs=1e-6)


def test_served_and_trained_log_densities_are_the_same_function():
    model = flow(dim=3)
    points = torch.randn(20, 3, dtype=torch.float64)
    with torch.no_grad():
        joint = model.log_prob(points, at(1e-9))
        _, lanes = run(programs(model)["log_density"], points)
        torch.testing.assert_close(lanes, joint, rtol=0, atol=1e-6)
        probe = torch.randn(20, 3, dtype=torch.float64).sign()
        joint = model.log_prob(points, at(1e-9), probe)
        _, lanes = run(programs(model)["log_density_hutchinson"], points, (probe,))
        torch.testing.assert_close(lanes, joint, rtol=0, atol=1e-6)


def test_hutchinsons_log_density_is_unbiased():
    model = flow(dim=3)
    count = 3000
    point = torch.randn(1, 3, dtype=torch.float64)
    probes = torch.randn(count, 3, dtype=torch.float64).sign()
    with torch.no_grad():
        exact = float(model.log_prob(point, at(1e-8)))
        _, estimates = run(programs(model)["log_density_hutchinson"], point.expand(count, 3), (probes,), tol=1e-6)
    standard_error = float(estimates.std()) / math.sqrt(count)
    assert abs(float(estimates.mean()) - exact) < 5 * standard_error + 1e-4


def test_training_gradients_of_the_adjoint_are_those_through_the_solver():
    model = flow()
    points = torch.randn(8, 2, dtype=torch.float64)
    for probe in (None, torch.randn(8, 2, dtype=torch.float64).sign()):
        found = []
        for integrate in (odeint, odeint_adjoint):
            loss = -model.log_prob(points, at(1e-9, integrate), probe).mean()
            found.append(torch.autograd.grad(loss, list(model.parameters())))
        for through, around in zip(*found, strict=True):
            torch.testing.assert_close(around, through, rtol=1e-5, atol=1e-6)


def test_a_far_point_has_a_finite_log_density_in_float32():
    model = CNF(CNFConfig(mean=(0.0, 0.0), std=(1.0, 1.0), hidden=(4,)))
    y = torch.tensor([[1e25, -1e25, 0.5]])
    (log_density,) = programs(model)["log_density"].decode(y)
    assert log_density.dtype == torch.float64
    assert float(log_density) == pytest.approx(-1e50, rel=1e-5)


def test_programs_say_what_they_take_and_give():
    assert [program.name for program in flow(dim=2).programs()] == ["log_density", "sample"]
    model = flow(dim=3)
    density, sample, estimate = model.programs()
    assert density.interval == estimate.interval == (1.0, 0.0)
    assert sample.interval == (0.0, 1.0)
    assert density.part_sizes == estimate.part_sizes == {"x": 3, "log_det": 1}
    assert [(part.start, part.stop) for part in density.parts] == [(0, 3), (3, 4)]
    assert (density.dim, sample.dim) == (4, 3)
    assert [spec.draw for spec in (density.input, sample.input, *estimate.args)] == [
        None,
        "standard_normal",
        "rademacher",
    ]
    assert density.input.dtype == sample.outputs[0].dtype == "float64"
    assert {spec.dtype for spec in CNF(model.config).programs()[1].outputs} == {"float32"}
    assert CNF(model.config).programs()[0].outputs[0].dtype == "float64"
