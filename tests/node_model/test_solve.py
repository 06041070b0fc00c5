"""Whole solves: against closed forms, SciPy and torchdiffeq; stops; arguments that are refused."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torchdiffeq
from hypothesis import given
from hypothesis.extra.numpy import arrays
from problems import CLOSED_FORM, DECAY, LOGISTIC, LOTKA_VOLTERRA, NONLINEAR, VAN_DER_POL, WITCH
from scipy.linalg import expm

from node_model.errors import SolverArgumentError
from node_model.solvers import ADAPTIVE, FIXED_STEP, solve_fixed, solve_ivp
from node_model.status import Status

METHODS = sorted(ADAPTIVE)
by_name = {"ids": lambda problem: problem.name}


def tight(method):
    return {"heun2": 3e-5, "bosh3": 1e-6}.get(method, 1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", CLOSED_FORM, **by_name)
@pytest.mark.parametrize("loose", [False, True])
def test_problems_with_a_closed_form_are_solved_to_about_the_tolerance(method, problem, loose):
    tol = 1e-3 if loose else tight(method)
    solution = solve_ivp(problem.field, problem.start(), problem.t0, [problem.t1], rtol=tol, atol=tol, method=method)
    assert solution.status.tolist() == [Status.OK]
    assert solution.t.tolist() == [problem.t1]
    error = (solution.ys[-1, 0] - problem.answer(problem.t1)).abs().max()
    assert float(error) < 30 * tol


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", NONLINEAR, **by_name)
def test_nonlinear_problems_agree_with_dop853(method, problem):
    tol = tight(method)
    solution = solve_ivp(problem.field, problem.start(), problem.t0, [problem.t1], rtol=tol, atol=tol, method=method)
    error = (solution.ys[-1, 0] - problem.answer(problem.t1)).abs().max()
    assert float(error) < 100 * tol


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", [DECAY, LOGISTIC, WITCH, LOTKA_VOLTERRA], **by_name)
def test_going_back_in_time_returns_to_the_start(method, problem):
    tol = tight(method)
    end = problem.answer(problem.t1)[None]
    solution = solve_ivp(problem.field, end, problem.t1, [problem.t0], rtol=tol, atol=tol, method=method)
    assert solution.t.tolist() == [problem.t0]
    torch.testing.assert_close(solution.ys[-1], problem.start(), rtol=0, atol=3e3 * tol)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("direction", [1, -1])
def test_every_stop_is_landed_on_exactly_and_agrees_with_a_solve_of_its_own(method, direction):
    stops = [direction * stop for stop in (0.1, 0.1 + 1e-9, 0.7, 1 / 3 + 0.5, 2.0)]
    tol = tight(method)
    landed = []

    def observe(lanes):
        reached = lanes.status == Status.OK
        landed.extend(lanes.t[reached].tolist())

    problem = LOTKA_VOLTERRA
    options = {"rtol": tol, "atol": tol, "method": method}
    many = solve_ivp(problem.field, problem.start(), 0.0, stops, observe=observe, **options)
    assert landed == stops
    for index, stop in enumerate(stops):
        single = solve_ivp(problem.field, problem.start(), 0.0, [stop], **options)
        assert single.t.tolist() == [stop]
        torch.testing.assert_close(many.ys[index], single.ys[0], rtol=0, atol=300 * tol)


def test_a_stop_leaves_the_next_steps_as_long_as_they_were():
    problem = LOTKA_VOLTERRA
    options = {"rtol": 1e-6, "atol": 1e-6}
    plain = solve_ivp(problem.field, problem.start(), 0.0, [4.0], **options)
    stopped = solve_ivp(problem.field, problem.start(), 0.0, [1.0, 2.0, 3.0, 4.0], **options)
    assert plain.nfe.item() < stopped.nfe.item() <= plain.nfe.item() + 4 * 6


def test_stops_at_the_start_and_twice_the_same_cost_nothing():
    problem = LOTKA_VOLTERRA
    options = {"rtol": 1e-6, "atol": 1e-6}
    plain = solve_ivp(problem.field, problem.start(), 0.0, [1.0, 2.0], **options)
    doubled = solve_ivp(problem.field, problem.start(), 0.0, [0.0, 1.0, 1.0, 2.0, 2.0], **options)
    assert doubled.nfe.item() == plain.nfe.item()
    assert torch.equal(doubled.ys, torch.stack([problem.start(), *plain.ys.repeat_interleave(2, 0)]))


@pytest.mark.parametrize("dt0", [None, 0.1])
def test_a_lane_that_starts_at_its_end_is_ok_with_nfe_0(dt0):
    problem = LOTKA_VOLTERRA
    t0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    solution = solve_ivp(problem.field, problem.start(2), t0, [1.0], rtol=1e-3, atol=1e-3, dt0=dt0)
    assert solution.status.tolist() == [Status.OK, Status.OK]
    assert solution.nfe[0].item() == 0 < solution.nfe[1].item()
    assert torch.equal(solution.ys[0, 0], problem.start()[0])
    at_once = solve_ivp(problem.field, problem.start(), 1.0, [1.0], rtol=1e-3, atol=1e-3, dt0=dt0, max_nfe=0)
    assert (at_once.status.item(), at_once.nfe.item(), at_once.t.item()) == (Status.OK, 0, 1.0)


def test_python_numbers_are_taken_in_full_precision():
    starts = []

    def field(t, y, _):
        starts.append(t.item())
        return -y

    seen = []
    tol, dt0 = 0.1 + 2**-40, 0.01 + 2**-40
    solve_ivp(field, DECAY.start(), 0.1, [1.0], rtol=tol, atol=tol, dt0=dt0, observe=seen.append)
    assert starts[0] == 0.1
    assert (seen[0].rtol.item(), seen[0].atol.item(), seen[0].t.item()) == (tol, tol, 0.1 + dt0)


def test_an_euler_step_out_of_the_domain_does_not_spoil_the_first_dt():
    # Hairer's Euler step is 1 % of the norm of y, which is more than all of the second component.
    def field(t, y, _):
        return torch.stack([torch.zeros_like(y[:, 0]), -y[:, 1].sqrt()], 1)

    y0 = torch.tensor([[1.0, 1e-6]], dtype=torch.float64)
    solution = solve_ivp(field, y0, 0.0, [1.5e-3], rtol=1e-6, atol=1e-9)
    assert solution.status.tolist() == [Status.OK]
    assert float(solution.ys[-1, 0, 1]) == pytest.approx((1e-3 - 0.75e-3) ** 2, abs=1e-8)


def test_a_lane_that_fails_keeps_the_answers_of_the_stops_it_reached():
    def field(t, y, _):
        return torch.where(t[:, None] > 1.5, torch.full_like(y, math.nan), -y)

    y0 = torch.ones(1, 1, dtype=torch.float64)
    solution = solve_ivp(field, y0, 0.0, [1.0, 2.0, 3.0], rtol=1e-6, atol=1e-6)
    assert solution.status.item() in (Status.NON_FINITE, Status.DT_MIN)
    assert float(solution.ys[0]) == pytest.approx(math.exp(-1), abs=1e-5)
    assert float(solution.ys[1]) == float(solution.ys[2]) == pytest.approx(math.exp(-1.5), abs=1e-3)
    assert 1.4 < solution.t.item() <= 1.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_field_that_is_not_finite_at_the_start_ends_the_lane_at_once(bad):
    y0 = torch.tensor([[bad], [1.0]], dtype=torch.float64)
    solution = solve_ivp(lambda t, y, _: -y, y0, 0.0, [1.0], rtol=1e-3, atol=1e-3)
    assert solution.status.tolist() == [Status.NON_FINITE, Status.OK]
    assert solution.nfe[0].item() == 2


def test_counts_add_up():
    solution = solve_ivp(VAN_DER_POL.field, VAN_DER_POL.start(), 0.0, [6.0], rtol=1e-6, atol=1e-6)
    attempts = solution.steps_accepted.item() + solution.steps_rejected.item()
    assert solution.nfe.item() == 2 + 6 * attempts
    assert solution.steps_rejected.item() > 0


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
@pytest.mark.parametrize("dt0", [None, 0.1])
def test_a_state_without_elements_is_an_empty_answer(shape, dt0):
    calls = []
    y0 = torch.zeros(shape, dtype=torch.float64)
    tol = torch.full(shape[:1], 1e-3)
    solution = solve_ivp(lambda t, y, _: calls.append(1), y0, 0.0, [0.5, 1.0], rtol=tol, atol=1e-3, dt0=dt0)
    assert solution.ys.shape == (2, *shape)
    assert solution.status.tolist() == [Status.OK] * shape[0]
    assert solution.nfe.tolist() == [0] * shape[0]
    assert solution.t.tolist() == [1.0] * shape[0]
    assert not calls


@given(
    atol=st.floats(-320, -30).map(lambda exponent: 10.0**exponent),
    rtol=st.floats(-5, -2).map(lambda exponent: 10.0**exponent),
    method=st.sampled_from(METHODS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    start=st.sampled_from([(0.0, 0.0), (0.0, 1.0)]),
)
def test_an_atol_below_the_smallest_number_of_the_dtype_leaves_a_state_at_zero_alone(atol, rtol, method, dtype, start):
    y0 = torch.tensor([start], dtype=dtype)
    solution = solve_ivp(lambda t, y, _: -y, y0, 0.0, [1.0], rtol=rtol, atol=max(atol, 5e-324), method=method)
    assert solution.status.tolist() == [Status.OK]
    assert solution.ys[-1, 0, 0].item() == 0
    assert solution.ys[-1, 0, 1].item() == pytest.approx(start[1] * math.exp(-1), rel=100 * rtol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_state_that_leaves_zero_at_a_tiny_atol_still_gets_a_first_dt(dtype):
    # In units of the tolerance the field is too large for the dtype to square.
    y0 = torch.zeros(1, 1, dtype=dtype)
    solution = solve_ivp(lambda t, y, _: torch.ones_like(y), y0, 0.0, [1.0], rtol=1e-3, atol=1e-320)
    assert solution.status.tolist() == [Status.OK]
    assert solution.ys[-1].item() == pytest.approx(1, rel=1e-3)


# -- rivals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [WITCH, *NONLINEAR], **by_name)
@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_nfe_and_error_are_those_of_torchdiffeq_at_the_same_tolerance(problem, method, tol):
    """NFE within 35 % or two attempts, error at most ten times theirs or of the size of the tolerance.

    The two differ in how they end (torchdiffeq steps past the end and interpolates) and after an accepted step whose
    error is just within the tolerance (ours shrinks dt there, theirs keeps it).
    """
    calls = []

    def counted(t, y):
        calls.append(1)
        return problem.one(t, y)

    times = torch.tensor([problem.t0, problem.t1], dtype=torch.float64)
    theirs = torchdiffeq.odeint(counted, problem.start()[0], times, rtol=tol, atol=tol, method=method)[-1]
    ours = solve_ivp(problem.field, problem.start(), problem.t0, [problem.t1], rtol=tol, atol=tol, method=method)
    slack = max(0.35 * len(calls), 2 * ADAPTIVE[method].nfe_attempt)
    assert abs(ours.nfe.item() - len(calls)) <= slack
    answer = problem.answer(problem.t1)
    ours_error, theirs_error = (float((y - answer).abs().max()) for y in (ours.ys[-1, 0], theirs))
    assert ours_error <= max(10 * theirs_error, 5 * tol)


square = st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(-1, 1, width=32)))


@given(
    a=square,
    shift=st.floats(-1.5, 0.3),
    tolerances=st.lists(st.floats(-9, -2), min_size=1, max_size=4),
    method=st.sampled_from(METHODS),
    direction=st.sampled_from([1.0, -1.0]),
)
def test_linear_systems_agree_with_the_matrix_exponential_alone_and_together(a, shift, tolerances, method, direction):
    a = direction * (a + shift * np.eye(len(a)))
    matrix = torch.from_numpy(a)
    tol = torch.tensor([10 ** max(t, math.log10(tight(method))) for t in tolerances], dtype=torch.float64)
    y0 = torch.linspace(-1, 1, len(tol) * len(a), dtype=torch.float64).reshape(len(tol), -1)

    def field(t, y, _):
        # Sums written out: a matrix product may depend on the width of the batch.
        return (y[:, None, :] * matrix).sum(-1)

    def solve(rows):
        return solve_ivp(field, y0[rows], 0.0, [direction], rtol=tol[rows], atol=tol[rows], method=method)

    together = solve(slice(None))
    assert together.status.tolist() == [Status.OK] * len(tol)
    exact = y0.numpy() @ expm(direction * a).T
    error = np.abs(together.ys[-1].numpy() - exact).max(1)
    assert (error <= 50 * tol.numpy() * max(1, np.abs(exact).max())).all()
    for lane in range(len(tol)):
        alone = solve(slice(lane, lane + 1))
        assert alone.nfe.item() == together.nfe[lane].item()
        torch.testing.assert_close(alone.ys[:, 0], together.ys[:, lane], rtol=1e-12, atol=1e-12)


# -- fixed steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FIXED_STEP)
@pytest.mark.parametrize("direction", [1, -1])
def test_fixed_steps_land_on_every_stop(method, direction):
    times = []

    def field(t, y, _):
        times.append(t[0].item())
        return -y

    stops = torch.tensor([0.25, 1.0], dtype=torch.float64) * direction
    zero = torch.tensor(0.0, dtype=torch.float64)
    ys = solve_fixed(field, DECAY.start(), zero, stops, method=method, dt=0.1)
    stages = len(FIXED_STEP[method].c)
    assert len(times) == stages * (3 + 8)
    assert times[stages * 3] == stops[0].item()
    exact = DECAY.start() * torch.exp(-stops)[:, None, None]
    torch.testing.assert_close(ys, exact, rtol=0, atol=0.2)


@pytest.mark.parametrize("method", FIXED_STEP)
def test_fixed_steps_take_those_of_torchdiffeq(method):
    times = torch.linspace(0, 1.5, 4, dtype=torch.float64)
    theirs = torchdiffeq.odeint(WITCH.one, WITCH.start()[0], times, method=method, options={"step_size": 0.1})
    ours = solve_fixed(WITCH.field, WITCH.start(), times[0], times[1:], method=method, dt=0.1)
    if method != "rk4":  # theirs is the 3/8 rule
        torch.testing.assert_close(ours[:, 0], theirs[1:], rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(ours[:, 0], theirs[1:], rtol=1e-4, atol=1e-4)


def test_an_exact_multiple_of_dt_makes_no_extra_step():
    calls = []

    def field(t, y, _):
        calls.append(1)
        return -y

    stops = torch.tensor([0.3], dtype=torch.float64)
    solve_fixed(field, DECAY.start(), torch.zeros((), dtype=torch.float64), stops, method="euler", dt=0.1)
    assert len(calls) == 3


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rtol": 0.0}, "rtol: expected a finite number above 0"),
        ({"atol": -1e-3}, "atol: expected a finite number above 0"),
        ({"rtol": math.nan}, "rtol"),
        ({"atol": math.inf}, "atol"),
        ({"rtol": torch.tensor([1e-3, 0.0])}, "rtol"),
        ({"rtol": torch.full((3,), 1e-3)}, r"rtol: expected a number or \[2\], got shape \[3\]"),
        ({"max_nfe": torch.ones(2, 1)}, "max_nfe"),
        ({"t0": math.nan}, "t0: expected a finite time"),
        ({"t0": torch.tensor([0.0, math.inf])}, "t0: expected a finite time"),
        ({"dt0": 0.0}, "dt0: expected a number above 0"),
        ({"dt0": math.nan}, "dt0: expected a number above 0"),
        ({"dt0": torch.tensor([0.1, -0.1])}, "dt0: expected a number above 0"),
        ({"method": "rk4"}, "method: rk4 has fixed steps; expected one of heun2, bosh3, dopri5, tsit5, dopri8"),
        ({"method": "nonsense"}, "got 'nonsense'"),
        ({"stops": []}, "stops"),
        ({"stops": [math.nan]}, "stops"),
        ({"stops": [[1.0]]}, "stops"),
        ({"stops": [1.0, 0.5]}, "in order"),
        ({"t0": torch.tensor([0.0, 2.0]), "stops": [1.0, 3.0]}, "in order"),
        ({"field": lambda t, y, _: y[:, :1]}, r"field: expected torch.float32 \[2, 2\].*got torch.float32 \[2, 1\]"),
        ({"field": lambda t, y, _: y[0]}, r"field: expected .*got torch.float32 \[2\]"),
        ({"field": lambda t, y, _: y.double()}, "field: expected torch.float32 .*got torch.float64"),
        ({"field": lambda t, y, _: None}, "field: expected .*got NoneType"),
        ({"y0": torch.ones(2)}, "y0"),
        ({"y0": torch.ones(2, 2, dtype=torch.int64)}, "y0"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_solving(change, message):
    arguments = {"y0": torch.ones(2, 2), "t0": 0.0, "stops": [1.0], "rtol": 1e-3, "atol": 1e-3} | change
    field = arguments.pop("field", lambda t, y, _: -y)
    with pytest.raises(SolverArgumentError, match=message):
        solve_ivp(field, **arguments)


@pytest.mark.parametrize(
    ("method", "dt"), [("dopri5", 0.1), ("nonsense", 0.1), ("rk4", 0.0), ("rk4", math.nan), ("rk4", math.inf)]
)
def test_fixed_steps_refuse_wrong_arguments(method, dt):
    zero = torch.zeros((), dtype=torch.float64)
    with pytest.raises(SolverArgumentError):
        solve_fixed(WITCH.field, WITCH.start(), zero, zero[None] + 1, method=method, dt=dt)
