"""One attempt on every running lane. Training and serving, PyTorch and the exported graph all run this function."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from node_model.solvers.controller import CONTROLLER, all_finite, error_ratio, is_finite, largest_rms
from node_model.solvers.lanes import Lanes, merge
from node_model.solvers.rk import rk_step
from node_model.solvers.tableaus import ButcherTableau
from node_model.status import Status
from node_model.types import Part, VectorField

NONFINITE_LIMIT = 10
"""Non-finite attempts in a row that end a lane."""

DT_FLOOR = 16 * torch.finfo(torch.float64).eps
"""Smallest dt, relative to the larger of |t| and |t_end|: below it t + dt no longer moves reliably."""


def _status_before(lanes: Lanes, nfe_attempt: int) -> Tensor:
    """Status of lanes about to start an attempt: some may not. Shapes: -> [lane] int64."""
    gap = (lanes.t_end - lanes.t).abs()
    floor = DT_FLOOR * torch.maximum(lanes.t.abs(), lanes.t_end.abs())
    status, running = lanes.status, lanes.running
    for reason, holds in (
        (Status.MAX_NFE, lanes.nfe + nfe_attempt > lanes.max_nfe),
        (Status.DT_MIN, (lanes.dt < floor) & (lanes.dt < gap)),
        (Status.OK, gap == 0),
    ):
        status = torch.where(running & holds, int(reason), status)
    return status


def advance(field: VectorField, lanes: Lanes, tableau: ButcherTableau, parts: Sequence[Part]) -> Lanes:
    """Try one step on each running lane: from t to t + dt, or onto t_end where that is nearer.

    A lane that may not start an attempt (budget, dt floor, already there) gets its status and is left as it is,
    and so is a lane that had ended before. Lanes never feel each other: no reduction crosses the lane axis.

    Shapes: see Lanes.
    Errors: never raises; failure is a status.
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4, "Automatic step size control".
    """
    lanes = replace(lanes, status=_status_before(lanes, tableau.nfe_attempt))
    attempted = lanes.running

    remaining = lanes.t_end - lanes.t
    clipped = lanes.dt >= remaining.abs()
    h = torch.where(clipped, remaining, torch.sign(remaining) * lanes.dt)
    y1, f1, err = rk_step(field, tableau, lanes.t, h, lanes.y, lanes.f, lanes.args)

    ratio = error_ratio(err, lanes.y, y1, lanes.rtol, lanes.atol, parts)
    accepted = attempted & (ratio <= 1)
    if torch.is_grad_enabled() and not torch.compiler.is_exporting() and y1.requires_grad:
        y1, f1, err = _differentiable(field, lanes, tableau, h, accepted, ratio, (y1, f1, err))
    # dt is a choice, not a function to differentiate: gradients flow through the state and through t alone.
    factor = CONTROLLER.factor(ratio.detach(), tableau.order, lanes.accepted)
    dt = torch.where(accepted & clipped, lanes.dt, h.detach().abs() * factor)
    merged = merge(
        lanes,
        accepted,
        y=y1,
        f=f1,
        t=torch.where(clipped, lanes.t_end, lanes.t + h),
        err_norm=largest_rms(err, parts),
        nfe_attempt=tableau.nfe_attempt,
    )
    nonfinite = torch.where(is_finite(ratio), 0, lanes.nonfinite + 1)
    failed = attempted & (nonfinite >= NONFINITE_LIMIT)
    if not tableau.last_stage_in_error:
        failed = failed | (accepted & ~all_finite(f1))
    return replace(
        merged,
        dt=torch.where(attempted, dt, lanes.dt),
        ratio=torch.where(attempted, ratio, 0.0),
        nonfinite=torch.where(attempted, nonfinite, lanes.nonfinite),
        status=_status_after(lanes, accepted & clipped, failed),
    )


def _differentiable(
    field: VectorField,
    lanes: Lanes,
    tableau: ButcherTableau,
    h: Tensor,
    accepted: Tensor,
    ratio: Tensor,
    attempt: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """The attempt as a graph may record it: a row that the merge leaves out must not turn gradients into NaN.

    Backward, `where` sends zeros into the rows it left out, and zero times the infinite derivative of a non-finite
    attempt is NaN, in that lane and in every parameter. Where such a row lies beside an accepted one, the attempt is
    made again with that lane standing still, at a point where the field is known to be finite. Decided and charged is
    the first attempt alone: the second is not in NFE.

    Shapes: h, accepted, ratio [lane]; the attempt y1, f1, err [lane, dim].
    """
    y1, f1, err = attempt
    astray = ~is_finite(ratio) & all_finite(lanes.y) & all_finite(lanes.f)
    # Of one lane the caller keeps all that was or nothing, which spares the joint solves of training the host sync.
    if len(h) > 1 and bool(accepted.any() & astray.any()):
        y1, f1, again = rk_step(field, tableau, lanes.t, torch.where(astray, 0.0, h), lanes.y, lanes.f, lanes.args)
        err = torch.where(astray[:, None], err.detach(), again)
    # The root in err_norm has an infinite derivative at zero, which is the error of a lane that stands still.
    return y1, f1, torch.where(accepted[:, None], err, err.detach())


def _status_after(lanes: Lanes, reached: Tensor, failed: Tensor) -> Tensor:
    """Status of lanes after an attempt. Shapes: every tensor [lane] -> [lane] int64."""
    status = torch.where(reached, int(Status.OK), lanes.status)
    return torch.where(failed, int(Status.NON_FINITE), status)
