"""Answers at times on the way, on both backends, beside a closed form, SciPy and the library's own solver."""

import numpy as np
import pytest
import torch
from artifacts import DECAY, METHOD, SPRING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oscillator import INTERVAL, Oscillator, closed_form
from scipy.integrate import solve_ivp as scipy_solve

from node_model import checkpoint
from node_model.solvers.solve import solve_ivp
from node_model.status import Status
from service.engine.engine import solve_alone
from service.engine.request import End, Problem
from service.models import load_model
from service.settings import Settings

STIFFNESS = 4.0


@pytest.fixture(scope="module", params=["onnx", "torch"])
def spring(request, models_dir):
    """The damped oscillator in float64 on a backend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkpoint.OWN_FAMILIES, "oscillator", Oscillator)
        yield load_model(models_dir / SPRING / "1", Settings(backend=request.param, lanes=4)).programs["predict"]


@pytest.fixture(scope="module")
def exported(models_dir):
    return load_model(models_dir / SPRING / "1", Settings(lanes=4)).programs["predict"]


def oscillators(count, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, 2)), draw.uniform(0, 1, count)


def problem(program, rows, stops, tol=1e-4, max_nfe=5000, **options):
    states, damping = rows
    stops = None if stops is None else np.array(stops, float)
    return Problem(program, METHOD, states, (damping,), tol, tol, max_nfe, 0.1, stops=stops, **options)


def solved(*arguments, **options):
    request = solve_alone(problem(*arguments, **options))
    assert request.end is End.COMPLETED
    return request


def test_the_answers_are_those_of_the_closed_form_and_of_scipy(spring):
    states, damping = oscillators(9)
    stops = [0.0, 0.31, 0.77, 1.5, 1.99]
    found, energy = solved(spring, (states, damping), stops).outputs
    assert found.shape == (9, 5, 2)
    exact = np.stack([closed_form(states, damping, STIFFNESS, t) for t in stops], 1)
    np.testing.assert_allclose(found, exact, atol=3e-3)
    np.testing.assert_array_equal(found[:, 0], states)
    np.testing.assert_allclose(energy, 0.5 * (found[..., 1] ** 2 + STIFFNESS * found[..., 0] ** 2), rtol=1e-12)
    for row in (0, 8):

        def field(t, y, friction=damping[row]):
            return y[1], -STIFFNESS * y[0] - 2 * friction * y[1]

        theirs = scipy_solve(field, INTERVAL, states[row], t_eval=stops, rtol=1e-10, atol=1e-10).y.T
        np.testing.assert_allclose(found[row], theirs, atol=3e-3)


def test_the_steps_are_those_of_the_library(spring):
    states, damping = oscillators(5)
    stops = [0.5, 0.6, 1.9]
    model = Oscillator({"stiffness": STIFFNESS, "damped": True}).double()
    (program,) = model.programs()
    with torch.no_grad():
        theirs = solve_ivp(
            program.field,
            torch.tensor(states),
            0.0,
            stops,
            rtol=1e-4,
            atol=1e-4,
            method=METHOD,
            parts=program.parts,
            args=(torch.tensor(damping),),
            dt0=0.1,
        )
    ours = solved(spring, (states, damping), stops)
    np.testing.assert_allclose(ours.outputs[0], theirs.ys.transpose(0, 1), rtol=1e-9, atol=1e-12)
    assert ours.solution.nfe.tolist() == theirs.nfe.tolist()
    assert ours.solution.rejected.tolist() == theirs.steps_rejected.tolist()


def test_the_end_as_the_only_stop_is_the_plain_solve(spring):
    rows = oscillators(6)
    plain, stopped = solved(spring, rows, None), solved(spring, rows, [INTERVAL[1]])
    for ours, theirs in zip(stopped.outputs, plain.outputs, strict=True):
        np.testing.assert_array_equal(ours[:, 0], theirs)
    for name in ("nfe", "accepted", "rejected", "t", "error_estimate"):
        np.testing.assert_array_equal(getattr(stopped.solution, name), getattr(plain.solution, name))


def test_a_stop_at_the_start_alone_costs_nothing(spring):
    states, damping = oscillators(3)
    request = solved(spring, (states, damping), [0.0])
    np.testing.assert_array_equal(request.outputs[0][:, 0], states)
    assert request.solution.nfe.tolist() == [0, 0, 0]


def test_what_was_reached_is_kept_when_the_budget_ends(spring):
    rows = oscillators(4)
    stops = [0.2, 0.4, 1.0, 2.0]
    whole = solved(spring, rows, stops)
    cut = solved(spring, rows, stops, max_nfe=20, partial=True)
    assert cut.solution.status.tolist() == [Status.MAX_NFE] * 4
    assert (cut.solution.nfe <= 20).all()
    reached = np.isfinite(cut.outputs[0]).all(-1)
    assert reached[:, 0].all()
    assert not reached[:, 3].any()
    np.testing.assert_array_equal(cut.outputs[0][reached], whole.outputs[0][reached])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.floats(*INTERVAL), min_size=1, max_size=8, unique=True).map(sorted),
    st.sampled_from([1e-2, 1e-3, 1e-4]),
    st.integers(0, 100),
)
def test_whatever_the_stops_they_are_met_and_cost_an_attempt_each_at_most(exported, stops, tol, seed):
    states, damping = oscillators(5, seed)
    found = solved(exported, (states, damping), stops, tol)
    exact = np.stack([closed_form(states, damping, STIFFNESS, t) for t in stops], 1)
    np.testing.assert_allclose(found.outputs[0], exact, atol=60 * tol)
    assert found.solution.t.tolist() == [stops[-1]] * 5
    plain = solved(exported, (states, damping), None, tol)
    # Short steps leave less error behind, so that a few more may be rejected elsewhere.
    assert (found.solution.accepted <= plain.solution.accepted + len(stops) + 2).all()


def test_company_with_other_stops_changes_no_bit(exported):
    rows = oscillators(3)
    alone = solved(exported, rows, [0.3, 1.7])
    from contextlib import nullcontext

    from service.engine.admission import Waiting
    from service.engine.engine import Engine
    from service.engine.request import Request

    waiting = Waiting(1, np.inf)
    engine = Engine(waiting, nullcontext())
    asked = []
    for number, stops in enumerate((None, [0.1, 0.2, 0.25], [0.3, 1.7], [2.0], [0.0, 1.0])):
        one = rows if stops == [0.3, 1.7] else oscillators(4, number)
        asked.append(Request(problem(exported, one, stops), received=0.0, deadline=np.inf, ended=waiting.drop))
        waiting.offer(asked[-1])
    while engine.step():
        pass
    assert [request.end for request in asked] == [End.COMPLETED] * 5
    for ours, theirs in zip(asked[2].outputs, alone.outputs, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(asked[2].solution.nfe, alone.solution.nfe)
    assert asked[0].outputs[0].shape == (4, 2)


def test_in_single_precision_too(models_dir):
    program = load_model(models_dir / DECAY / "1", Settings(lanes=4)).programs["predict"]
    states = oscillators(4)[0].astype(np.float32)
    stops = np.array([0.5, 2.0])
    request = solve_alone(Problem(program, METHOD, states, (), 1e-4, 1e-4, 5000, 0.1, stops=stops))
    (found,) = request.outputs
    assert found.dtype == np.float32
    exact = np.stack([closed_form(states.astype(float), np.full(4, 0.3), 0.25, t) for t in stops], 1)
    np.testing.assert_allclose(found, exact, atol=1e-3)
