"""Gradients around the solver against gradients through it, and both against torchdiffeq."""

import math

import pytest
import torch
import torchdiffeq
from hypothesis import given
from hypothesis import strategies as st
from problems import LOTKA_VOLTERRA
from torch import nn

from node_model.adjoint import odeint, odeint_adjoint
from node_model.errors import SolveFailedError, SolverArgumentError
from node_model.solvers import ADAPTIVE, solve_ivp

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


class Smooth(nn.Module):
    """A small tanh network that also sees t; takes a scalar t or one time per row."""

    def __init__(self, generator, dim=3, width=8):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(width, dim, generator=generator, dtype=torch.float64))
        self.w2 = nn.Parameter(torch.randn(dim, width, generator=generator, dtype=torch.float64) / width)
        self.b = nn.Parameter(torch.randn(width, generator=generator, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        return torch.tanh(y @ self.w1.T + self.b * torch.sin(2 * t)[..., None]) @ self.w2.T - 0.3 * y


class Pair(nn.Module):
    """A state of two tensors of different shapes, each driving the other."""

    def __init__(self, generator):
        super().__init__()
        self.inner = Smooth(generator)

    def forward(self, t, state):
        x, total = state
        return self.inner(t, x) * (1 + torch.tanh(total.mean())), x.square().sum(-1) - total * torch.cos(t)


def gradients(integrate, field, y0, t, weights, **options):
    """The answers and gradients of a weighted sum of every output to y0, t and the parameters."""
    leaves = tuple(y.clone().requires_grad_() for y in (y0 if isinstance(y0, tuple) else (y0,)))
    t = t.clone().requires_grad_()
    ys = integrate(field, leaves if isinstance(y0, tuple) else leaves[0], t, **options)
    outputs = ys if isinstance(ys, tuple) else (ys,)
    loss = sum((w * y.square()).sum() for w, y in zip(weights, outputs, strict=True))
    wanted = (*leaves, t, *field.parameters())
    return outputs, torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)


def assert_same(ours, theirs, rtol=1e-5):
    for a, b in zip(ours, theirs, strict=True):
        scale = float(b.detach().abs().max()) or 1.0
        torch.testing.assert_close(a, b, rtol=0, atol=rtol * scale)


@pytest.fixture(params=["forward", "backward"])
def times(request):
    t = torch.tensor([0.2, 0.5, 1.1, 1.7], dtype=torch.float64)
    return t if request.param == "forward" else t.flip(0)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8"])
def test_gradients_to_y0_t_and_parameters_are_those_of_torchdiffeq_and_of_autograd(method, times, torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.randn(4, 3, generator=torch_rng, dtype=torch.float64)
    weights = [torch.randn(4, 4, 3, generator=torch_rng, dtype=torch.float64)]
    rival = {"method": "dopri5", **TIGHT}
    outputs, expected = gradients(torchdiffeq.odeint_adjoint, field, y0, times, weights, **rival)
    for integrate in (odeint, odeint_adjoint):
        ours, found = gradients(integrate, field, y0, times, weights, method=method, **TIGHT)
        assert ours[0].shape == (4, 4, 3)
        torch.testing.assert_close(ours[0], outputs[0], rtol=0, atol=1e-6)
        assert_same(found, expected)


def test_gradients_of_a_tuple_state(times, torch_rng):
    field = Pair(torch_rng)
    y0 = (
        torch.randn(2, 3, generator=torch_rng, dtype=torch.float64),
        torch.randn(2, generator=torch_rng, dtype=torch.float64),
    )
    weights = [torch.randn(4, *y.shape, generator=torch_rng, dtype=torch.float64) for y in y0]
    outputs, expected = gradients(torchdiffeq.odeint_adjoint, field, y0, times, weights, **TIGHT)
    for integrate in (odeint, odeint_adjoint):
        ours, found = gradients(integrate, field, y0, times, weights, **TIGHT)
        assert [tuple(y.shape) for y in ours] == [(4, 2, 3), (4, 2)]
        assert_same(ours, outputs, 1e-6)
        assert_same(found, expected)


def test_each_lane_may_have_a_tolerance_of_its_own(times, torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.randn(4, 3, generator=torch_rng, dtype=torch.float64)
    weights = [torch.randn(4, 4, 3, generator=torch_rng, dtype=torch.float64)]
    _, expected = gradients(torchdiffeq.odeint_adjoint, field, y0, times, weights, **TIGHT)
    rtol = torch.tensor([1e-9, 1e-10, 3e-9, 1e-9], dtype=torch.float64)
    for integrate in (odeint, odeint_adjoint):
        _, found = gradients(integrate, field, y0, times, weights, rtol=rtol, atol=1e-9)
        assert_same(found, expected)


def test_a_lane_is_as_accurate_as_its_own_tolerance_says(torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.randn(1, 3, generator=torch_rng, dtype=torch.float64).repeat(3, 1)
    t = torch.tensor([0.0, 4.0], dtype=torch.float64)
    with torch.no_grad():
        exact = odeint(field, y0[:1], t, rtol=1e-12, atol=1e-12)[-1]
        tol = torch.tensor([1e-2, 1e-5, 1e-8], dtype=torch.float64)
        error = (odeint(field, y0, t, rtol=tol, atol=tol)[-1] - exact).abs().amax(1)
    assert error[0] > error[1] > error[2]
    assert (error < 20 * tol).all()


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_fixed_steps_have_the_gradients_of_torchdiffeq(method, torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.randn(2, 3, generator=torch_rng, dtype=torch.float64)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    weights = [torch.randn(3, 2, 3, generator=torch_rng, dtype=torch.float64)]
    _, through = gradients(odeint, field, y0, t, weights, method=method, step_size=0.01)
    _, around = gradients(odeint_adjoint, field, y0, t, weights, method=method, step_size=0.01)
    _, exact = gradients(odeint, field, y0, t, weights, **TIGHT)
    tolerance = {"euler": 0.1, "midpoint": 1e-3, "rk4": 1e-6}[method]
    assert_same(through, exact, tolerance)
    assert_same(around, exact, tolerance)


@pytest.mark.parametrize("integrate", [odeint, odeint_adjoint])
def test_gradients_agree_with_finite_differences(integrate, torch_rng):
    field = Smooth(torch_rng, dim=2, width=3)
    y0 = torch.randn(2, generator=torch_rng, dtype=torch.float64).requires_grad_()
    t = torch.tensor([0.0, 0.5, 0.8], dtype=torch.float64, requires_grad=True)
    w2 = field.w2.detach().clone().requires_grad_()

    def solve(y0, t, w2):
        def f(time, y):
            return torch.func.functional_call(field, {"w2": w2}, (time, y))

        more = {"adjoint_params": (w2,)} if integrate is odeint_adjoint else {}
        return integrate(f, y0, t, rtol=1e-11, atol=1e-11, **more)

    assert torch.autograd.gradcheck(solve, (y0, t, w2), eps=1e-5, atol=1e-5, rtol=1e-4)


def test_second_derivatives_are_refused_rather_than_wrong(torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.randn(3, generator=torch_rng, dtype=torch.float64).requires_grad_()
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    (first,) = torch.autograd.grad(odeint_adjoint(field, y0, t).square().sum(), y0, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def bytes_kept(integrate, steps, torch_rng):
    """Bytes that autograd keeps for the backward pass of a solve with that many steps."""
    field = Smooth(torch_rng)
    y0 = torch.randn(4, 3, generator=torch_rng, dtype=torch.float64).requires_grad_()
    kept = []

    def pack(tensor):
        kept.append(tensor.element_size() * tensor.nelement())
        return tensor

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ys = integrate(field, y0, t, method="rk4", step_size=1 / steps)
    assert field.calls == 4 * steps
    assert ys.requires_grad
    return sum(kept)


def test_memory_of_the_adjoint_does_not_grow_with_the_steps(torch_rng):
    assert bytes_kept(odeint_adjoint, 1000, torch_rng) == bytes_kept(odeint_adjoint, 10, torch_rng)
    # The same meter does grow where gradients go through the steps.
    assert bytes_kept(odeint, 100, torch_rng) > 8 * bytes_kept(odeint, 10, torch_rng)


def test_memory_of_the_adjoint_does_not_grow_with_the_adaptive_steps(torch_rng):
    def kept_and_calls(integrate, tol):
        field = Smooth(torch_rng)
        y0 = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nelement()) or x, lambda x: x):
            integrate(field, y0, torch.tensor([0.0, 2.0], dtype=torch.float64), rtol=tol, atol=tol, method="bosh3")
        return sum(kept), field.calls

    (loose, few), (tight, many) = (kept_and_calls(odeint_adjoint, tol) for tol in (1e-2, 1e-9))
    assert many > 20 * few
    assert tight == loose
    assert kept_and_calls(odeint, 1e-5)[0] > 3 * kept_and_calls(odeint, 1e-2)[0]


def test_a_rejected_non_finite_attempt_leaves_the_gradient_finite():
    # The first attempt runs out of the domain of the root; the solution itself does not.
    y0 = torch.tensor([1e-2], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.15], dtype=torch.float64)
    rejected = []

    def field(t, y):
        rejected.append(bool((y < 0).any()))
        return -y.sqrt()

    y1 = odeint(field, y0, t, rtol=1e-3, atol=1e-6)[-1]
    (gradient,) = torch.autograd.grad(y1.sum(), y0)
    assert any(rejected)
    # y(t) = (sqrt(y0) - t / 2) ** 2
    assert float(gradient) == pytest.approx((0.1 - 0.075) / 0.1, rel=1e-2)


def test_a_rejected_non_finite_attempt_beside_an_accepted_one_leaves_the_gradient_finite():
    y0 = torch.tensor([[1.0], [1e-2]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.15], dtype=torch.float64)
    tol = torch.tensor([1e-3, 1e-3], dtype=torch.float64)
    y1 = odeint(lambda t, y: -y.sqrt(), y0, t, rtol=tol, atol=1e-6)[-1]
    (gradient,) = torch.autograd.grad(y1.sum(), y0)
    assert gradient[:, 0].tolist() == pytest.approx([0.925, 0.25], rel=1e-2)


# -- lanes whose attempts are not finite -------------------------------------------------------------------------------


def roots(weight):
    """y' = -weight sqrt(y), whose larger steps leave the domain: y(t) = (sqrt(y0) - weight t / 2) ** 2."""
    return lambda t, y: -weight * y.sqrt()


@given(
    starts=st.lists(st.floats(0.01, 4), min_size=2, max_size=5),
    exponents=st.lists(st.floats(-6, -2), min_size=5, max_size=5),
    weight=st.floats(0.5, 1.2),
    method=st.sampled_from(sorted(ADAPTIVE)),
)
def test_gradients_beside_rejected_non_finite_attempts_are_those_of_each_lane_alone(starts, exponents, weight, method):
    t = torch.tensor([0.0, 0.15], dtype=torch.float64)
    tol = torch.tensor([10**e for e in exponents[: len(starts)]], dtype=torch.float64)

    def solved(rows):
        y0 = torch.tensor(starts, dtype=torch.float64)[rows, None].requires_grad_()
        w = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
        y1 = odeint(roots(w), y0, t, rtol=tol[rows], atol=tol[rows], method=method)[-1]
        return (y1.detach(), *torch.autograd.grad(y1.sum(), (y0, w)))

    y1, to_y0, to_w = solved(slice(None))
    alone = [solved(slice(lane, lane + 1)) for lane in range(len(starts))]
    torch.testing.assert_close(y1, torch.cat([a[0] for a in alone]), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(to_y0, torch.cat([a[1] for a in alone]), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(to_w, sum(a[2] for a in alone), rtol=1e-6, atol=1e-9)


@given(small=st.floats(0.007, 0.0105), large=st.floats(1, 4))
def test_a_graph_changes_neither_the_answer_nor_the_statistics(small, large):
    y0 = torch.tensor([[large], [small]], dtype=torch.float64)
    calls, seen = [], []

    def field(t, y, _):
        calls.append(1)
        return -y.sqrt()

    def solve(recorded):
        calls.clear()
        seen.append([])
        start = y0.clone().requires_grad_(recorded)
        solution = solve_ivp(field, start, 0.0, [0.15], rtol=1e-3, atol=1e-6, dt0=0.15, observe=seen[-1].append)
        return solution, len(calls)

    (plain, plain_calls), (recorded, recorded_calls) = solve(False), solve(True)
    # The lane near 0 cannot make the whole interval in one step; the other one can.
    assert seen[0][0].accepted.tolist() == [True, False]
    assert seen[0][0].nonfinite.tolist() == [0, 1]
    for name in ("ys", "t", "status", "nfe", "steps_accepted", "steps_rejected", "error_estimate"):
        assert torch.equal(getattr(plain, name), getattr(recorded, name).detach()), name
    for one, other in zip(*seen, strict=True):
        for name in ("dt", "ratio", "err_norm", "nonfinite", "status"):
            torch.testing.assert_close(
                getattr(one, name), getattr(other, name).detach(), rtol=0, atol=0, equal_nan=True, msg=name
            )
    assert recorded_calls > plain_calls


def test_the_error_estimate_of_lanes_that_end_one_after_the_other_has_a_gradient():
    y0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    rtol = torch.tensor([1e-3, 1e-8], dtype=torch.float64)
    solution = solve_ivp(lambda t, y, _: -weight * y.square(), y0, 0.0, [1.0], rtol=rtol, atol=1e-6)
    assert solution.nfe[0] < solution.nfe[1]
    for gradient in torch.autograd.grad(solution.error_estimate.sum(), (y0, weight)):
        assert bool(gradient.isfinite().all() & (gradient != 0).all())


# -- empty states and small tolerances ---------------------------------------------------------------------------------


@pytest.mark.parametrize("integrate", [odeint, odeint_adjoint])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("rtol", [1e-3, torch.zeros(0)], ids=["jointly", "per lane"])
@pytest.mark.parametrize("tupled", [False, True])
def test_an_empty_batch_has_an_empty_answer(integrate, method, rtol, tupled, torch_rng):
    field = Pair(torch_rng) if tupled else Smooth(torch_rng)
    empty = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    y0 = (empty, torch.zeros(0, dtype=torch.float64)) if tupled else empty
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    ys = integrate(field, y0, t, rtol=rtol, method=method)
    outputs = ys if tupled else (ys,)
    assert [tuple(y.shape) for y in outputs] == ([(3, 0, 3), (3, 0)] if tupled else [(3, 0, 3)])
    sum(y.sum() for y in outputs).backward()
    assert empty.grad is not None
    assert empty.grad.shape == (0, 3)
    assert (field.inner if tupled else field).calls == 0


@pytest.mark.parametrize("integrate", [odeint, odeint_adjoint])
def test_an_empty_part_of_a_state_is_not_measured(integrate):
    y0 = (torch.ones(2, dtype=torch.float64, requires_grad=True), torch.zeros(0, dtype=torch.float64))
    more = {"adjoint_params": ()} if integrate is odeint_adjoint else {}
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    ys, none = integrate(lambda t, y: (-y[0], y[1]), y0, t, **more)
    assert none.shape == (2, 0)
    (gradient,) = torch.autograd.grad(ys[-1].sum(), y0[0])
    assert gradient.tolist() == pytest.approx([math.exp(-1)] * 2, rel=1e-5)


def test_a_time_alone_gives_the_start_back(torch_rng):
    field = Smooth(torch_rng)
    y0 = torch.ones(3, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.3], dtype=torch.float64)
    for integrate in (odeint, odeint_adjoint):
        ys = integrate(field, y0, t)
        assert torch.equal(ys, y0[None])
        (gradient,) = torch.autograd.grad(ys.sum(), y0)
        assert torch.equal(gradient, torch.ones_like(y0))


def test_without_lanes_the_batch_is_one_problem_and_t_is_a_scalar():
    seen = set()

    def field(t, y):
        seen.add(tuple(t.shape))
        return LOTKA_VOLTERRA.field(t.expand(len(y)), y)

    y0 = LOTKA_VOLTERRA.start(5)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    ys = odeint(field, y0, t)
    assert seen == {()}
    torch.testing.assert_close(ys[-1, 0], LOTKA_VOLTERRA.answer(1.0), rtol=0, atol=1e-6)


def test_with_lanes_the_function_sees_one_time_per_lane():
    def field(t, y):
        assert t.shape == (5,)
        return LOTKA_VOLTERRA.field(t, y)

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    odeint(field, LOTKA_VOLTERRA.start(5), t, rtol=torch.full((5,), 1e-5))


def test_float32_states_keep_their_dtype_and_are_timed_in_float64():
    y0 = LOTKA_VOLTERRA.start(dtype=torch.float32)
    t = torch.tensor([0.0, 1.0])
    ys = odeint(lambda t, y: LOTKA_VOLTERRA.field(t.reshape(1), y), y0, t, rtol=1e-5, atol=1e-5)
    assert ys.dtype == torch.float32
    torch.testing.assert_close(ys[-1, 0].double(), LOTKA_VOLTERRA.answer(1.0), rtol=0, atol=1e-3)


def test_a_failed_solve_says_which_lane_where_and_what_to_do():
    y0 = torch.ones(3, 1, dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def field(t, y):
        return torch.where(torch.arange(3)[:, None] == 1, torch.full_like(y, math.nan), -y)

    with pytest.raises(SolveFailedError, match=r"1 of 3 lanes .* lane 1 ended non_finite at t = 0 after 2 evaluations"):
        odeint(field, y0, t, rtol=torch.full((3,), 1e-3))
    with pytest.raises(SolveFailedError, match=r"max_nfe.*raise max_nfe or loosen tol"):
        odeint(lambda t, y: -y, y0, t, max_nfe=20)


DECREASING_THEN_INCREASING = torch.tensor([0.0, -1.0, 1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": torch.tensor([0.0, 0.0])}, "strictly"),
        ({"t": DECREASING_THEN_INCREASING}, "strictly"),
        ({"t": torch.tensor([0.0, math.nan])}, "strictly"),
        ({"t": torch.tensor([math.nan])}, "t: expected finite"),
        ({"t": torch.tensor([0.0, math.inf])}, "t: expected finite"),
        ({"t": torch.tensor([0.0, math.inf]), "method": "rk4"}, "t: expected finite"),
        ({"t": torch.tensor([0, 1])}, "floating"),
        ({"t": torch.tensor(1.0)}, "floating"),
        ({"y0": torch.tensor([1, 2])}, "y0"),
        ({"y0": ()}, "y0"),
        ({"y0": (torch.ones(1), torch.ones(1, dtype=torch.float64))}, "one dtype"),
        ({"rtol": torch.full((3,), 1e-3)}, "first axis must have 3"),
        ({"step_size": 0.1}, "step_size: dopri5 chooses its own steps"),
        ({"method": "rk4", "step_size": 0.0}, "step_size"),
        ({"method": "rk4", "step_size": math.inf}, "step_size: expected a finite number above 0, got inf"),
        ({"method": "rk4", "rtol": -1.0}, "rtol: expected a finite number above 0"),
        ({"method": "rk4", "atol": math.nan}, "atol: expected a finite number above 0"),
        ({"t": torch.tensor([0.5]), "rtol": 0.0}, "rtol"),
        ({"method": "implicit_adams"}, "method"),
        ({"rtol": 0.0}, "rtol"),
    ],
)
@pytest.mark.parametrize("integrate", [odeint, odeint_adjoint])
def test_a_wrong_argument_is_refused(integrate, change, message):
    arguments = {"y0": torch.ones(2, 2), "t": torch.tensor([0.0, 1.0])} | change
    with pytest.raises(SolverArgumentError, match=message):
        integrate(nn.Identity(), arguments.pop("y0"), arguments.pop("t"), **arguments)


def test_a_plain_function_needs_its_parameters_named():
    with pytest.raises(SolverArgumentError, match="adjoint_params"):
        odeint_adjoint(lambda t, y: -y, torch.ones(2), torch.tensor([0.0, 1.0]))


WRONG_ANSWERS = {
    "a column broadcast over the state": (lambda t, y: y[:, :1], r"func: expected torch.float32 \[2, 2\].*\[2, 1\]"),
    "a number broadcast over the state": (lambda t, y: y.sum(), r"func: expected torch.float32 \[2, 2\].*got .* \[\]"),
    "as many elements, otherwise laid out": (lambda t, y: y.reshape(-1), r"func: expected .*got .* \[4\]"),
    "another dtype": (lambda t, y: y.double(), r"func: expected torch.float32 \[2, 2\].*got torch.float64"),
    "a tuple": (lambda t, y: (y,), "func: expected .*got tuple"),
    "no tensor": (lambda t, y: 1.0, "func: expected .*got float"),
}


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("rtol", [1e-3, torch.full((2,), 1e-3)], ids=["jointly", "per lane"])
@pytest.mark.parametrize("wrong", WRONG_ANSWERS)
@pytest.mark.parametrize("integrate", [odeint, odeint_adjoint])
def test_a_func_whose_answer_is_not_like_the_state_is_refused(integrate, wrong, rtol, method):
    func, message = WRONG_ANSWERS[wrong]
    more = {"adjoint_params": ()} if integrate is odeint_adjoint else {}
    with pytest.raises(SolverArgumentError, match=message):
        integrate(func, torch.ones(2, 2), torch.tensor([0.0, 1.0]), rtol=rtol, method=method, **more)


def test_of_a_tuple_state_func_must_answer_with_as_many_tensors():
    y0 = (torch.ones(2), torch.ones(3))
    for wrong in (lambda t, y: y[0], lambda t, y: (y[0],), lambda t, y: torch.ones(2, 3)):
        with pytest.raises(SolverArgumentError, match="func: expected a tuple of 2 tensors"):
            odeint(wrong, y0, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("change", [{"adjoint_rtol": 0.0}, {"adjoint_atol": math.nan}, {"adjoint_method": "nonsense"}])
def test_wrong_arguments_of_the_backward_solve_are_refused_before_the_forward_one(change):
    with pytest.raises(SolverArgumentError, match=r"rtol|atol|method"):
        odeint_adjoint(nn.Identity(), torch.ones(2), torch.tensor([0.0, 1.0]), **change)
