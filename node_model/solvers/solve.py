"""solve_ivp: start the lanes, loop over `advance`, record the state at each stop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from node_model.errors import SolverArgumentError
from node_model.solvers.advance import advance
from node_model.solvers.controller import first_dt, first_euler_dt
from node_model.solvers.lanes import Lanes, start_lanes
from node_model.solvers.rk import rk_stages
from node_model.solvers.tableaus import ADAPTIVE, FIXED_STEP, ButcherTableau, tableau_of
from node_model.status import Status
from node_model.types import Args, Part, VectorField

DEFAULT_MAX_NFE = 100_000


@dataclass(frozen=True)
class Solution:
    """What became of every lane.

    Shapes: ys [stop, lane, dim]; t (time reached) and the statistics [lane]. A stop that a lane did not reach holds
    the state it had when it ended.
    """

    ys: Tensor
    t: Tensor
    status: Tensor
    nfe: Tensor
    steps_accepted: Tensor
    steps_rejected: Tensor
    error_estimate: Tensor


def solve_ivp(
    field: VectorField,
    y0: Tensor,
    t0: float | Tensor,
    stops: Sequence[float] | Tensor,
    *,
    rtol: float | Tensor,
    atol: float | Tensor,
    method: str = "dopri5",
    parts: Sequence[Part] | None = None,
    args: Args = (),
    max_nfe: int | Tensor = DEFAULT_MAX_NFE,
    dt0: float | Tensor | None = None,
    observe: Callable[[Lanes], None] | None = None,
) -> Solution:
    """Solve y' = field(t, y, args) from t0 over the stops, each lane with its own tolerance and its own steps.

    Without `dt0` the first step is Hairer's, which costs one evaluation more. `observe` sees the lanes after every
    attempt. Where gradients are recorded, an attempt that is not finite in one lane and accepted in another is made a
    second time, so that the field may be called more often than NFE says. A state without elements is at its last stop
    already, with NFE 0, and its field is not called.

    Shapes: y0 [lane, dim]; stops [stop] shared by all lanes; t0, rtol, atol, max_nfe, dt0 scalar or [lane].
    Units: t, dt0 and the stops in the field's time.
    Errors: SolverArgumentError for wrong shapes, the field's among them, an unknown or fixed-step method, tolerances
        not above zero, stops that change direction. A failing lane does not raise: see Solution.status.
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4.
    """
    tableau = _adaptive_tableau(method)
    if y0.ndim != 2 or not y0.is_floating_point():
        raise SolverArgumentError(f"y0: expected a floating tensor [lane, dim], got {y0.dtype} {list(y0.shape)}")
    lane_count = y0.shape[0]

    def per_lane(name: str, value: float | Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        tensor = torch.as_tensor(value, dtype=dtype, device=y0.device)
        if tensor.ndim > 1 or (tensor.ndim == 1 and tensor.shape[0] != lane_count):
            raise SolverArgumentError(f"{name}: expected a number or [{lane_count}], got shape {list(tensor.shape)}")
        return tensor.expand(lane_count)

    start = per_lane("t0", t0)
    if not bool(start.isfinite().all()):
        raise SolverArgumentError("t0: expected a finite time in every lane")
    times = _checked_stops(stops, start)
    lane_rtol, lane_atol = per_lane("rtol", rtol), per_lane("atol", atol)
    check_tolerances(lane_rtol, lane_atol)
    # In the state's dtype a very small atol would be 0, and the error of a component at 0 then 0/0.
    lane_atol = lane_atol.clamp(min=torch.finfo(y0.dtype).tiny)
    measured = tuple(parts) if parts is not None else (Part("y", 0, y0.shape[1]),)
    budget = per_lane("max_nfe", max_nfe, torch.int64)
    if y0.numel() == 0:
        return _nothing_to_solve(y0, times)

    field = _checked_field(field)
    f0 = field(start.to(y0.dtype), y0, args)
    if dt0 is None:
        nfe_start = 2
        span = (times[-1] - start).detach()
        h0 = first_euler_dt(f0, y0, lane_rtol, lane_atol, measured).detach()
        # A slow field makes h0 long; past the interval the field may mean nothing.
        h0 = torch.where(span == 0, h0, torch.minimum(h0, span.abs()))
        signed = torch.sign(span) * h0
        f1 = field((start + signed).to(y0.dtype), y0 + signed.to(y0.dtype)[:, None] * f0, args)
        dt = first_dt(f0, f1, y0, h0, lane_rtol, lane_atol, tableau.order, measured).detach()
    else:
        nfe_start = 1
        dt = per_lane("dt0", dt0)
        if not bool((dt > 0).all()):
            raise SolverArgumentError("dt0: expected a number above 0 in every lane")
    lanes = start_lanes(
        y0,
        f0,
        t0=start,
        t_end=times[-1].expand(lane_count),
        dt=dt,
        rtol=lane_rtol,
        atol=lane_atol,
        max_nfe=budget,
        args=args,
        nfe_start=nfe_start,
    )
    return _loop(field, replace(lanes, t_end=times[0].expand(lane_count)), tableau, measured, times, observe)


def _loop(
    field: VectorField,
    lanes: Lanes,
    tableau: ButcherTableau,
    parts: Sequence[Part],
    times: Tensor,
    observe: Callable[[Lanes], None] | None,
) -> Solution:
    """Advance until no lane is running, handing each lane its next stop when it lands on one."""
    last = times.shape[0] - 1
    stop = torch.zeros_like(lanes.status)
    ys = [lanes.y] * (last + 1)
    while True:
        landed = lanes.status == Status.OK
        for index in stop[landed].unique().tolist():
            here = (landed & (stop == index))[:, None]
            ys[index] = torch.where(here, lanes.y, ys[index])
        onward = landed & (stop < last)
        if bool(onward.any()):
            stop = stop + onward
            lanes = replace(
                lanes,
                t_end=torch.where(onward, times[stop], lanes.t_end),
                # A lane that found itself at its stop made no attempt, hence no rejection that dt should heed.
                accepted=lanes.accepted | onward,
                status=torch.where(onward, torch.full_like(lanes.status, Status.RUNNING), lanes.status),
            )
        if not bool(lanes.running.any()):
            break
        before = lanes
        lanes = advance(field, lanes, tableau, parts)
        if not bool(lanes.accepted.any()):
            # Frees the rejected attempt's autograd graph, and keeps its NaN, if any, out of the gradient.
            lanes = replace(lanes, y=before.y, f=before.f, t=before.t, error_estimate=before.error_estimate)
        if observe is not None:
            observe(lanes)
    unreached = (lanes.status != Status.OK) & (torch.arange(last + 1, device=stop.device)[:, None] >= stop)
    return Solution(
        ys=torch.where(unreached[:, :, None], lanes.y, torch.stack(ys)),
        t=lanes.t,
        status=lanes.status,
        nfe=lanes.nfe,
        steps_accepted=lanes.steps_accepted,
        steps_rejected=lanes.steps_rejected,
        error_estimate=lanes.error_estimate,
    )


def solve_fixed(
    field: VectorField, y0: Tensor, t0: Tensor, stops: Tensor, *, method: str, dt: float, args: Args = ()
) -> Tensor:
    """Equal steps of at most `dt` from stop to stop, the same in every lane.

    Shapes: y0 [lane, dim]; t0 scalar; stops [stop] -> [stop, lane, dim].
    Errors: SolverArgumentError for an adaptive or unknown method, dt not finite and above zero, stops not finite, or a
        field of another shape or dtype than the state.
    """
    tableau = tableau_of(method)
    if method not in FIXED_STEP:
        raise SolverArgumentError(f"method: expected one of {', '.join(FIXED_STEP)}; got {method!r}")
    if not 0 < dt < math.inf:
        raise SolverArgumentError(f"step_size: expected a finite number above 0, got {dt}")
    if not bool(stops.isfinite().all()):
        raise SolverArgumentError("stops: expected finite times")
    field = _checked_field(field)
    lane_count = y0.shape[0]
    ys, y, t = [], y0, t0
    for end in stops:
        steps = math.ceil(float((end - t).detach().abs()) / dt * (1 - 1e-12))
        width = (end - t) / max(steps, 1)
        for index in range(steps):
            now = (t + index * width).expand(lane_count)
            f = field(now.to(y.dtype), y, args)
            y, _ = rk_stages(field, tableau, now, width.expand(lane_count), y, f, args)
        ys.append(y)
        t = end
    return torch.stack(ys)


def check_tolerances(rtol: Tensor, atol: Tensor) -> None:
    """Errors: SolverArgumentError naming the one that is not finite and above zero in every lane. Shapes: any."""
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not bool((tolerance > 0).all() & tolerance.isfinite().all()):
            raise SolverArgumentError(f"{name}: expected a finite number above 0 in every lane")


def check_answer(name: str, f: Any, shape: torch.Size, dtype: torch.dtype) -> None:
    """Refuse f(t, y) of another shape or dtype than y, which PyTorch would broadcast or promote in silence.

    Errors: SolverArgumentError naming the function.
    """
    if not isinstance(f, Tensor) or f.shape != shape or f.dtype != dtype:
        got = f"{f.dtype} {list(f.shape)}" if isinstance(f, Tensor) else type(f).__name__
        raise SolverArgumentError(f"{name}: expected {dtype} {list(shape)}, as the state has, got {got}")


def _checked_field(field: VectorField) -> VectorField:
    """The field, each of its answers looked at."""

    def checked(t: Tensor, y: Tensor, args: Args, /) -> Tensor:
        f = field(t, y, args)
        check_answer("field", f, y.shape, y.dtype)
        return f

    return checked


def _nothing_to_solve(y0: Tensor, times: Tensor) -> Solution:
    """What became of a state without elements. Shapes: y0 [lane, dim], one of them 0; times [stop]."""
    counts = torch.zeros(len(y0), dtype=torch.int64, device=y0.device)
    return Solution(
        ys=y0.expand(len(times), *y0.shape),
        t=times[-1].expand(len(y0)),
        status=torch.full_like(counts, Status.OK),
        nfe=counts,
        steps_accepted=counts,
        steps_rejected=counts,
        error_estimate=torch.zeros_like(counts, dtype=torch.float64),
    )


def _adaptive_tableau(method: str) -> ButcherTableau:
    tableau = tableau_of(method)
    if method not in ADAPTIVE:
        raise SolverArgumentError(f"method: {method} has fixed steps; expected one of {', '.join(ADAPTIVE)}")
    return tableau


def _checked_stops(stops: Sequence[float] | Tensor, start: Tensor) -> Tensor:
    """Stops as float64, all on one side of every lane's start and in order."""
    times = torch.as_tensor(stops, dtype=torch.float64, device=start.device)
    if times.ndim != 1 or times.shape[0] == 0 or not bool(times.isfinite().all()):
        raise SolverArgumentError(f"stops: expected a list of at least one finite time, got shape {list(times.shape)}")
    gaps = torch.diff(torch.cat([start.detach()[:, None], times.detach().expand(len(start), -1)], 1))
    if bool(((gaps > 0).any(1) & (gaps < 0).any(1)).any()):
        raise SolverArgumentError("stops: expected times in order, all before or all after t0")
    return times
