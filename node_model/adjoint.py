"""odeint and odeint_adjoint: solutions at given times with gradients through, or around, the solver.

Both take torchdiffeq's arguments in torchdiffeq's order. In addition rtol and atol may be tensors with one entry per
lane (the first axis of y0); the function is then given a vector t with one time per lane.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from node_model.errors import SolveFailedError, SolverArgumentError
from node_model.solvers.solve import DEFAULT_MAX_NFE, Solution, check_answer, check_tolerances, solve_fixed, solve_ivp
from node_model.solvers.tableaus import FIXED_STEP, tableau_of
from node_model.status import ADVICE, Status
from node_model.types import Args, Part, VectorField, parts_of

State = Tensor | tuple[Tensor, ...]
Function = Callable[[Tensor, Any], Any]
"""f(t, y): t a scalar (or one time per lane), y and the answer in the shape of y0."""


@dataclass(frozen=True)
class _Layout:
    """How a state of one or several tensors lies in the solver's [lane, dim].

    Jointly (`lanes` None) everything is one lane, as in torchdiffeq; otherwise the first axis is the lane axis.
    """

    shapes: tuple[torch.Size, ...]
    dtype: torch.dtype
    tupled: bool
    lanes: int | None

    @classmethod
    def of(cls, y0: State, lanes: int | None) -> "_Layout":
        tensors = y0 if isinstance(y0, tuple) else (y0,)
        if not tensors or not all(isinstance(y, Tensor) and y.is_floating_point() for y in tensors):
            raise SolverArgumentError("y0: expected a floating tensor or a tuple of floating tensors")
        if len({(y.dtype, y.device) for y in tensors}) > 1:
            raise SolverArgumentError("y0: expected tensors of one dtype on one device")
        if lanes is not None and any(y.ndim == 0 or y.shape[0] != lanes for y in tensors):
            raise SolverArgumentError(f"y0: rtol or atol has {lanes} lanes, so the first axis must have {lanes} too")
        return cls(tuple(y.shape for y in tensors), tensors[0].dtype, isinstance(y0, tuple), lanes)

    @property
    def parts(self) -> tuple[Part, ...]:
        sizes = [(shape if self.lanes is None else shape[1:]).numel() for shape in self.shapes]
        return parts_of({str(index): size for index, size in enumerate(sizes)})

    def pack(self, state: State) -> Tensor:
        """-> [lane, dim]."""
        tensors = state if isinstance(state, tuple) else (state,)
        rows = 1 if self.lanes is None else self.lanes
        flat = [y.reshape(rows, part.stop - part.start) for y, part in zip(tensors, self.parts, strict=True)]
        return torch.cat(flat, 1) if len(flat) > 1 else flat[0]

    def unpack(self, y: Tensor, leading: tuple[int, ...] = ()) -> State:
        """[*leading, lane, dim] -> the shapes of y0, each with the leading axes first."""
        tensors = tuple(
            y[..., part.start : part.stop].reshape(*leading, *shape)
            for part, shape in zip(self.parts, self.shapes, strict=True)
        )
        return tensors if self.tupled else tensors[0]

    def field(self, func: Function) -> VectorField:
        """The user's f(t, y) as a field on [lane, dim]."""

        def field(t: Tensor, y: Tensor, _: Args) -> Tensor:
            f = func(t if self.lanes is not None else t[0], self.unpack(y))
            self._check_answer(f)
            return self.pack(f)

        return field

    def _check_answer(self, f: Any) -> None:
        if self.tupled and not (isinstance(f, tuple) and len(f) == len(self.shapes)):
            raise SolverArgumentError(f"func: expected a tuple of {len(self.shapes)} tensors, as y0 is")
        for answer, shape in zip(f if self.tupled else (f,), self.shapes, strict=True):
            check_answer("func", answer, shape, self.dtype)


@dataclass(frozen=True)
class _Options:
    """What a solve is asked for, beyond the problem itself."""

    rtol: float | Tensor
    atol: float | Tensor
    method: str
    step_size: float | None
    max_nfe: int

    def check(self) -> None:
        """Errors: SolverArgumentError, also for what a method with fixed steps or a single time would not look at."""
        check_tolerances(torch.as_tensor(self.rtol), torch.as_tensor(self.atol))
        fixed = tableau_of(self.method).name in FIXED_STEP
        if self.step_size is None:
            return
        if not fixed:
            raise SolverArgumentError(f"step_size: {self.method} chooses its own steps; give rtol and atol instead")
        if not 0 < self.step_size < math.inf:
            raise SolverArgumentError(f"step_size: expected a finite number above 0, got {self.step_size}")


def odeint(
    func: Function,
    y0: State,
    t: Tensor,
    *,
    rtol: float | Tensor = 1e-7,
    atol: float | Tensor = 1e-9,
    method: str = "dopri5",
    step_size: float | None = None,
    max_nfe: int = DEFAULT_MAX_NFE,
) -> Any:
    """The solution of y' = func(t, y), y(t[0]) = y0, at every time of t; gradients go through the solver's steps.

    Shapes: y0 [...] or a tuple of such; t [time], in order -> [time, ...] for each tensor of y0.
    Errors: SolverArgumentError for wrong arguments, or a func whose answer has another shape or dtype than y0;
        SolveFailedError when a lane does not reach the last time.
    Source: Chen et al. 2018, Neural Ordinary Differential Equations, section 2.
    """
    options = _Options(rtol, atol, method, step_size, max_nfe)
    options.check()
    layout = _Layout.of(y0, _lane_count(rtol, atol))
    times = _checked_times(t)
    return layout.unpack(_solve(layout.field(func), layout.pack(y0), times, layout.parts, options), (len(times),))


def odeint_adjoint(
    func: Function,
    y0: State,
    t: Tensor,
    *,
    rtol: float | Tensor = 1e-7,
    atol: float | Tensor = 1e-9,
    method: str = "dopri5",
    step_size: float | None = None,
    max_nfe: int = DEFAULT_MAX_NFE,
    adjoint_rtol: float | None = None,
    adjoint_atol: float | None = None,
    adjoint_method: str | None = None,
    adjoint_params: Sequence[Tensor] | None = None,
) -> Any:
    """As odeint, with gradients from a second solve backward in time, so memory does not grow with the steps.

    The backward solve is joint (all lanes one lane) at the tightest forward tolerance unless told otherwise, and its
    error norm leaves the parameter and time gradients out. Gradients reach y0, t, and `adjoint_params` (by default
    the parameters of `func`, which then must be a module).

    Shapes, Errors: see odeint; without parameters to be found, SolverArgumentError.
    Source: Chen et al. 2018, Algorithm 1 and appendix B; Kidger, Chen & Lyons 2021, "Hey, that's not an ODE".
    """
    if adjoint_params is None:
        if not isinstance(func, nn.Module):
            raise SolverArgumentError("func: expected a torch module; for a plain function give adjoint_params as well")
        adjoint_params = tuple(func.parameters())
    params = tuple(p for p in adjoint_params if p.requires_grad)
    forward = _Options(rtol, atol, method, step_size, max_nfe)
    backward = _Options(
        rtol=_tightest(rtol) if adjoint_rtol is None else adjoint_rtol,
        atol=_tightest(atol) if adjoint_atol is None else adjoint_atol,
        method=adjoint_method or method,
        step_size=step_size,
        max_nfe=max_nfe,
    )
    forward.check()
    backward.check()
    layout = _Layout.of(y0, _lane_count(rtol, atol))
    times = _checked_times(t)
    ys = _Adjoint.apply(  # type: ignore[no-untyped-call]
        func, layout, forward, backward, times, layout.pack(y0), *params
    )
    return layout.unpack(ys, (len(times),))


class _Adjoint(torch.autograd.Function):
    """Forward: solve without a graph. Backward: Algorithm 1, one augmented solve per interval between times."""

    @staticmethod
    def forward(
        ctx: Any,
        func: Function,
        layout: _Layout,
        forward: _Options,
        backward: _Options,
        times: Tensor,
        y0: Tensor,
        *params: Tensor,
    ) -> Tensor:
        ys = _solve(layout.field(func), y0, times, layout.parts, forward)
        ctx.func, ctx.layout, ctx.options = func, layout, backward
        ctx.save_for_backward(times, ys, *params)
        return ys

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_ys,) = grads
        times, ys, *params = ctx.saved_tensors
        if ys.numel() == 0:
            zeros = [torch.zeros_like(wanted) for wanted in (times, ys[0], *params)]
            return (None, None, None, None, *zeros)
        augmented = _Augmented(ctx.func, ctx.layout, tuple(params), ys[0].shape, ctx.needs_input_grad[4])
        grad_y = grad_ys[-1]
        grad_params = torch.zeros(augmented.param_count, dtype=ys.dtype, device=ys.device)
        grad_t = torch.zeros_like(times)
        for index in range(len(times) - 1, 0, -1):
            if augmented.with_time:
                # Moving the end of the interval moves y(t_end) by f dt.
                field_here = augmented.func_at(times[index], ys[index])
                grad_t[index] = (field_here * grad_ys[index]).sum()
                grad_t[0] = grad_t[0] - grad_t[index]
            state = augmented.pack(ys[index], grad_y, grad_t[0], grad_params)
            interval = torch.stack([times[index], times[index - 1]])
            solved = _solve(augmented, state, interval, augmented.parts, ctx.options)[-1]
            _, grad_y, grad_t[0], grad_params = augmented.unpack(solved)
            grad_y = grad_y + grad_ys[index - 1]
        split = torch.split(grad_params, [p.numel() for p in params]) if params else ()
        grads_of_params = tuple(g.reshape(p.shape) for g, p in zip(split, params, strict=True))
        return (None, None, None, None, grad_t if augmented.with_time else None, grad_y, *grads_of_params)


class _Augmented:
    """The field of (y, adjoint, time gradient, parameter gradients) as one lane.

    Source: Chen et al. 2018, Algorithm 1; the adjoint a = dL/dy obeys a' = -a df/dy, and the gradients to t and the
    parameters integrate -a df/dt and -a df/dtheta.
    """

    def __init__(
        self, func: Function, layout: _Layout, params: tuple[Tensor, ...], shape: torch.Size, with_time: bool
    ) -> None:
        self._field = layout.field(func)
        self._params = params
        self._shape = shape
        self._joint = layout.lanes is None
        self.with_time = with_time
        self.param_count = sum(p.numel() for p in params)
        # Jointly, a part of the state is one slice; per lane it lies in every row, so the state is measured whole.
        own = layout.parts if self._joint else (Part("0", 0, shape.numel()),)
        offset = shape.numel()
        adjoint = tuple(Part(f"adjoint_{p.name}", p.start + offset, p.stop + offset) for p in own)
        self.parts = (*own, *adjoint)

    def func_at(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            return self._field(t.to(y.dtype).expand(self._shape[0]), y, ())

    def pack(self, y: Tensor, adjoint: Tensor, grad_t: Tensor, grad_params: Tensor) -> Tensor:
        return torch.cat([y.reshape(-1), adjoint.reshape(-1), grad_t.to(y.dtype).reshape(1), grad_params])[None]

    def unpack(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = self._shape.numel()
        y, adjoint, grad_t, grad_params = state[0].split([size, size, 1, self.param_count])
        return y.reshape(self._shape), adjoint.reshape(self._shape), grad_t[0], grad_params

    def __call__(self, t: Tensor, state: Tensor, _: Args) -> Tensor:
        y, adjoint = self.unpack(state)[:2]
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            time = t.detach().requires_grad_(self.with_time)
            f = self._field(time.expand(self._shape[0]), y, ())
            wanted = (y, *((time,) if self.with_time else ()), *self._params)
            vjps = torch.autograd.grad(f, wanted, -adjoint, allow_unused=True, materialize_grads=True)
        vjp_y, vjp_params = vjps[0], vjps[2 if self.with_time else 1 :]
        vjp_t = vjps[1] if self.with_time else state.new_zeros(1)
        flat = [
            f.detach().reshape(-1),
            vjp_y.reshape(-1),
            vjp_t.reshape(-1),
            *(v.reshape(-1).to(f.dtype) for v in vjp_params),
        ]
        return torch.cat(flat)[None]


def _solve(field: VectorField, y0: Tensor, times: Tensor, parts: Sequence[Part], options: _Options) -> Tensor:
    """The states at all times, y0 among them: [time, lane, dim]."""
    if len(times) == 1 or y0.numel() == 0:
        return y0.expand(len(times), *y0.shape)
    if tableau_of(options.method).name in FIXED_STEP:
        longest = float((times[1:] - times[:-1]).detach().abs().max())
        dt = options.step_size if options.step_size is not None else longest
        later = solve_fixed(field, y0, times[0], times[1:], method=options.method, dt=dt)
    else:
        solution = solve_ivp(
            field,
            y0,
            times[0],
            times[1:],
            rtol=options.rtol,
            atol=options.atol,
            method=options.method,
            parts=parts,
            max_nfe=options.max_nfe,
        )
        _raise_if_failed(solution)
        later = solution.ys
    return torch.cat([y0[None], later])


def _raise_if_failed(solution: Solution) -> None:
    failed = (solution.status != Status.OK).nonzero()[:, 0].tolist()
    if failed:
        lane = failed[0]
        status = Status(int(solution.status[lane]))
        raise SolveFailedError(
            f"{len(failed)} of {len(solution.status)} lanes did not reach the last time; lane {lane} ended "
            f"{status.label} at t = {float(solution.t[lane]):.6g} after {int(solution.nfe[lane])} evaluations: "
            f"{ADVICE[status]}"
        )


def _lane_count(rtol: float | Tensor, atol: float | Tensor) -> int | None:
    for tolerance in (rtol, atol):
        if isinstance(tolerance, Tensor) and tolerance.ndim == 1:
            return tolerance.shape[0]
    return None


def _tightest(tolerance: float | Tensor) -> float:
    # Without lanes there is no backward solve, and any tolerance will do.
    return float(min(tolerance.flatten().tolist(), default=1.0)) if isinstance(tolerance, Tensor) else tolerance


def _checked_times(t: Tensor) -> Tensor:
    if not isinstance(t, Tensor) or t.ndim != 1 or len(t) == 0 or not t.is_floating_point():
        raise SolverArgumentError("t: expected a floating tensor [time] with at least one entry")
    steps = torch.diff(t.detach())
    if not bool(((steps > 0).all() | (steps < 0).all()) & t.isfinite().all()):
        raise SolverArgumentError("t: expected finite times that strictly increase or strictly decrease")
    return t.to(torch.float64)
