"""The solve of a training step: what regularisers add to the loss, held against closed forms and finite differences."""

import math

import pytest
import torch
from torch import nn

from node_model.solvers import solve_ivp
from training.config import RunConfig
from training.solves import STEER_REACH, Counted, EvaluationCount, TrainingSolve


class Decay(nn.Module):
    """y' = -rate y, whose path and energy are known."""

    def __init__(self, rate=0.7):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, t, y):
        return -self.rate * y


def solver(regularize, weight=1.0, tol=1e-9, method="dopri5", seed=0, family="odenet"):
    config = RunConfig(
        family=family,
        data="digits",
        seed=seed,
        method=method,
        tol=tol,
        regularize=regularize,
        regularize_weight=weight,
    )
    return TrainingSolve(config, 0, EvaluationCount())


@pytest.fixture
def y0(torch_rng):
    return torch.randn(5, 3, generator=torch_rng, dtype=torch.float64)


def test_the_kinetic_energy_is_that_of_the_path(y0):
    field = Decay()
    end, penalty = solver("kinetic", weight=0.3).penalised(field, y0, 0)
    rate = field.rate.detach()
    # The integral of rate^2 y0^2 exp(-2 rate t) from 0 to 1, mean over components and lanes.
    energy = 0.5 * rate * (1 - torch.exp(-2 * rate)) * y0.square().mean()
    torch.testing.assert_close(penalty.detach(), 0.3 * energy, rtol=1e-6, atol=0)
    torch.testing.assert_close(end.detach(), y0 * torch.exp(-rate), rtol=1e-7, atol=1e-9)
    penalty.backward()
    derivative = 0.3 * y0.square().mean() * (0.5 * (1 - torch.exp(-2 * rate)) + rate * torch.exp(-2 * rate))
    torch.testing.assert_close(field.rate.grad, derivative, rtol=1e-5, atol=0)


def test_steering_ends_at_a_random_time_of_the_seed_and_the_step_alone(y0):
    def time_of(step, seed=0):
        end, penalty = solver("steer", seed=seed).penalised(Decay(), y0, step)
        assert float(penalty) == 0
        return -math.log(float((end.detach() / y0).mean())) / 0.7

    times = [time_of(step) for step in range(40)]
    assert 1 - STEER_REACH <= min(times) < 1 - STEER_REACH / 2
    assert 1 + STEER_REACH / 2 < max(times) <= 1 + STEER_REACH
    assert times[7] == time_of(7)
    assert times[7] != pytest.approx(time_of(7, seed=1))


class Bent(nn.Module):
    """Smooth and not linear, so that steps have errors."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, t, y):
        return torch.sin(self.scale * y) + t


def test_ernode_adds_the_solvers_own_estimate(y0):
    field = Bent()
    end, penalty = solver("ernode", weight=2.0, tol=1e-3, method="bosh3").penalised(field, y0, 0)
    alone = solve_ivp(
        lambda t, y, _: field(t[0], y), y0.reshape(1, -1), 0.0, [1.0], rtol=1e-3, atol=1e-3, method="bosh3"
    )
    assert float(penalty.detach()) == pytest.approx(2 * float(alone.error_estimate[0].detach()), rel=1e-12)
    assert float(penalty.detach()) > 0
    torch.testing.assert_close(end, alone.ys[-1].reshape(y0.shape))


def test_the_gradient_of_ernode_is_that_of_finite_differences_at_the_same_steps(y0):
    """Step sizes are constants to it. At so loose a tolerance only the first depends on the field."""
    field, reached = Bent(), []

    def estimate(scale, **options):
        with torch.no_grad():
            field.scale.fill_(scale)
            solved = solve_ivp(
                lambda t, y, _: field(t[0], y),
                y0.reshape(1, -1),
                0.0,
                [1.0],
                rtol=10,
                atol=10,
                method="bosh3",
                **options,
            )
        return float(solved.error_estimate[0])

    estimate(1.5, observe=lambda lanes: reached.append(float(lanes.t[0])))
    solver("ernode", tol=10.0, method="bosh3").penalised(field, y0, 0)[1].backward()
    h, dt = 1e-6, reached[0]
    expected = (estimate(1.5 + h, dt0=dt) - estimate(1.5 - h, dt0=dt)) / (2 * h)
    assert float(field.scale.grad) == pytest.approx(expected, rel=1e-5)


def test_gradients_through_the_steps_and_by_the_adjoint_agree(y0):
    gradients = []
    for family in ("odenet", "rknet"):
        field = Bent()
        end, penalty = solver("none", tol=1e-10, family=family).penalised(field, y0, 0)
        assert float(penalty) == 0
        end.square().sum().backward()
        gradients.append(field.scale.grad)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=0)


def test_evaluations_are_counted_both_ways(y0):
    count = EvaluationCount()
    field = Counted(Bent(), count)
    field(torch.tensor(0.0), y0)
    assert (count.take(), count.take()) == (1, 0)
