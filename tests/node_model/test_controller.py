"""Error ratio, next dt and first dt."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torchdiffeq._impl.misc import _rms_norm, _select_initial_step

from node_model.solvers.controller import (
    CONTROLLER,
    all_finite,
    error_ratio,
    error_scale,
    first_dt,
    first_euler_dt,
    largest_rms,
)
from node_model.solvers.solve import solve_ivp
from node_model.types import Part, parts_of

WHOLE = (Part("y", 0, 3),)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def factor(ratio, order=5, last_accepted=True):
    return float(CONTROLLER.factor(tensor(ratio), order, torch.tensor([last_accepted])))


@given(ratio=st.floats(0, 1e300) | st.just(math.inf), order=st.integers(2, 8), last_accepted=st.booleans())
def test_factor_stays_within_its_bounds_and_never_grows_after_a_rejection(ratio, order, last_accepted):
    value = factor(ratio, order, last_accepted)
    assert 0.2 <= value <= (10 if last_accepted else 1)
    if ratio > 1:
        assert value < 1


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.0, 0.9), (0.5, 0.9 * 2**0.2), (32.0, 0.45), (0.0, 10.0), (math.inf, 0.2), (1e9, 0.2)]
)
def test_factor_is_the_integral_rule(ratio, expected):
    assert factor(ratio) == pytest.approx(expected, rel=1e-12)


def test_directly_after_a_rejection_dt_does_not_grow():
    assert factor(1e-4, last_accepted=True) > 1
    assert factor(1e-4, last_accepted=False) == 1
    assert factor(3.0, last_accepted=False) == factor(3.0, last_accepted=True)


def test_error_ratio_is_the_largest_over_parts_of_the_rms_over_a_part():
    err = tensor([3e-3, 4e-3, 2e-3])
    zero = torch.zeros_like(err)
    parts = parts_of({"x": 2, "log_det": 1})
    ratio = error_ratio(err, zero, zero, tensor(0.1), tensor(1e-3), parts)
    assert float(ratio) == pytest.approx(math.sqrt((9 + 16) / 2))
    swapped = error_ratio(err.flip(1), zero, zero, tensor(0.1), tensor(1e-3), parts_of({"x": 1, "log_det": 2}))
    assert float(swapped) == pytest.approx(float(ratio))
    whole = error_ratio(err, zero, zero, tensor(0.1), tensor(1e-3), WHOLE)
    assert float(whole) == pytest.approx(math.sqrt((9 + 16 + 4) / 3))


def test_error_ratio_takes_the_larger_end_of_the_step_and_each_lanes_own_tolerance():
    y0, y1 = tensor([1.0, -8.0, 0.0], [1.0, 1.0, 1.0]), tensor([-4.0, 2.0, 0.0], [1.0, 1.0, 1.0])
    rtol, atol = tensor(0.5, 1e-3), tensor(0.25, 1e-6)
    scale = error_scale(y0, y1, rtol, atol)
    torch.testing.assert_close(scale[0], tensor(2.25, 4.25, 0.25))
    torch.testing.assert_close(scale[1], torch.full((3,), 1e-3 + 1e-6, dtype=torch.float64))
    assert error_ratio(scale, y0, y1, rtol, atol, WHOLE).tolist() == pytest.approx([1, 1])


def test_state_outside_every_part_is_not_measured():
    err = tensor([1e-3, 0.0, 1e6])
    zero = torch.zeros_like(err)
    assert float(error_ratio(err, zero, zero, tensor(0.1), tensor(1e-3), parts_of({"x": 1}))) == pytest.approx(1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("which", ["err", "y1"])
def test_error_ratio_is_infinite_where_anything_is_not_finite_even_outside_the_parts(bad, place, which):
    err, y1 = torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    {"err": err, "y1": y1}[which][0, place] = bad
    ratio = error_ratio(err, torch.ones_like(y1), y1, tensor(1e-3, 1e-3), tensor(1e-3, 1e-3), parts_of({"x": 2}))
    assert ratio.tolist() == [math.inf, 0.0]


def test_opposite_infinities_are_not_finite_together():
    assert all_finite(tensor([math.inf, -math.inf], [1.0, -1.0])).tolist() == [False, True]


def test_norms_never_cross_lanes(rng):
    x = torch.from_numpy(rng.standard_normal((5, 3)))
    together = largest_rms(x, parts_of({"x": 2, "z": 1}))
    for lane in range(5):
        assert float(largest_rms(x[lane : lane + 1], parts_of({"x": 2, "z": 1}))) == float(together[lane])


fields = st.sampled_from(
    [
        lambda t, y, *_: torch.sin(3 * y) + t.reshape(-1, 1),
        lambda t, y, *_: -40 * y,
        lambda t, y, *_: torch.zeros_like(y),
        lambda t, y, *_: 1e-9 * torch.cos(y),
        lambda t, y, *_: y.square() * torch.exp(-t.reshape(-1, 1)),
    ]
)
states = st.lists(st.floats(-10, 10), min_size=1, max_size=4) | st.just([0.0, 0.0])
tolerances = st.floats(-9, -1).map(lambda exponent: 10**exponent)


@given(field=fields, y0=states, rtol=tolerances, atol=tolerances, order=st.sampled_from([2, 3, 5, 8]))
def test_first_dt_is_the_one_torchdiffeq_chooses(field, y0, rtol, atol, order):
    y = torch.tensor([y0], dtype=torch.float64)
    t0 = torch.tensor(0.3, dtype=torch.float64)
    parts = (Part("y", 0, len(y0)),)
    f0 = field(t0, y)
    h0 = first_euler_dt(f0, y, tensor(rtol), tensor(atol), parts)
    ours = first_dt(f0, field(t0 + h0, y + h0[:, None] * f0), y, h0, tensor(rtol), tensor(atol), order, parts)
    # What torchdiffeq calls order here is the order of the method less one.
    theirs = _select_initial_step(lambda t, x: field(t, x[None])[0], t0, y[0], order - 1, rtol, atol, _rms_norm)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_solve_starts_with_that_dt_in_either_direction(direction):
    def field(t, y, _=()):
        return torch.sin(3 * y) + t.reshape(-1, 1)

    y0, seen = tensor([0.7, -0.2]), []

    def backward(t, y):
        return direction * field(direction * t, y[None])[0]

    theirs = _select_initial_step(backward, tensor(0.0)[0], y0[0], 4, 1e-5, 1e-7, _rms_norm)
    solve_ivp(field, y0, 0.0, [direction * 2.0], rtol=1e-5, atol=1e-7, observe=lambda lanes: seen.append(lanes))
    assert bool(seen[0].accepted)
    assert abs(float(seen[0].t)) == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize(("start", "tol"), [(1.0, 1e-3), (1e3, 1e-6)])
def test_a_slow_field_is_not_tried_past_the_interval(start, tol):
    times = []

    def field(t, y, _):
        times.append(float(t))
        return 1e-6 * torch.exp(t)[:, None] * torch.ones_like(y)

    solution = solve_ivp(field, tensor([start]), 0.0, [1.0], rtol=tol, atol=tol)
    assert solution.status.tolist() == [1]
    assert max(times) <= 1
    assert float(solution.ys) == pytest.approx(start + 1e-6 * (math.e - 1), rel=tol)
