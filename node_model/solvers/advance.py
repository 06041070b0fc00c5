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
    return replace(
        merged,
        dt=torch.where(attempted, dt, lanes.dt),
        ratio=torch.where(attempted, ratio, 0.0),
        nonfinite=torch.where(attempted, nonfinite, lanes.nonfinite),
        status=_status_after(lanes, accepted & clipped, accepted & ~all_finite(f1), attempted, nonfinite),
    )


def _status_after(lanes: Lanes, reached: Tensor, broken: Tensor, attempted: Tensor, nonfinite: Tensor) -> Tensor:
    """Status of lanes after an attempt. Shapes: every tensor [lane] -> [lane] int64."""
    status = torch.where(reached, int(Status.OK), lanes.status)
    failed = broken | (attempted & (nonfinite >= NONFINITE_LIMIT))
    return torch.where(failed, int(Status.NON_FINITE), status)
