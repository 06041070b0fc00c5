"""The record of a lane's whole life, and the one place where old and new state are merged."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from node_model.solvers.controller import all_finite
from node_model.status import Status
from node_model.types import Args


@dataclass(frozen=True)
class Lanes:
    """Rows of the solver batch; every field has the lane axis first.

    `dt` is a magnitude (the direction is the sign of t_end - t) and is never clipped to a stop: a lane that had to
    shorten a step to land on `t_end` goes on with the dt it had. Times, tolerances and statistics are float64
    whatever the dtype of `y`.
    """

    # evolving state
    y: Tensor  # [lane, dim]
    f: Tensor  # [lane, dim], the field at (t, y)
    t: Tensor  # [lane]
    dt: Tensor  # [lane], magnitude of the next attempt
    accepted: Tensor  # [lane] bool, outcome of the last attempt; true at the start
    nonfinite: Tensor  # [lane] int64, non-finite attempts in a row
    status: Tensor  # [lane] int64, node_model.status.Status
    # the lane's own limits
    t_end: Tensor  # [lane], the next stop
    rtol: Tensor  # [lane]
    atol: Tensor  # [lane]
    max_nfe: Tensor  # [lane] int64
    args: Args  # each [lane, ...]
    # statistics
    nfe: Tensor  # [lane] int64
    steps_accepted: Tensor  # [lane] int64
    steps_rejected: Tensor  # [lane] int64
    ratio: Tensor  # [lane], error ratio of the last attempt
    err_norm: Tensor  # [lane], RMS error of the last attempt, largest part, state units
    error_estimate: Tensor  # [lane], sum of err_norm over accepted steps

    @property
    def running(self) -> Tensor:
        """[lane] bool."""
        return self.status == Status.RUNNING


def first_status(f0: Tensor, *, t0: Tensor, t_end: Tensor, max_nfe: Tensor, nfe_start: int) -> tuple[Tensor, Tensor]:
    """Status and NFE of lanes once f(t0, y0) is known; some end here.

    Shapes: f0 [lane, dim]; t0, t_end, max_nfe [lane] -> status, nfe [lane] int64.
    """
    status = torch.zeros_like(max_nfe)
    for reason, holds in (
        (Status.NON_FINITE, ~all_finite(f0)),
        (Status.MAX_NFE, max_nfe < nfe_start),
        (Status.OK, t0 == t_end),
    ):
        status = torch.where(holds, int(reason), status)
    charged = (t0 != t_end) & (max_nfe >= nfe_start)
    return status, nfe_start * charged.to(max_nfe.dtype)


def start_lanes(
    y0: Tensor,
    f0: Tensor,
    *,
    t0: Tensor,
    t_end: Tensor,
    dt: Tensor,
    rtol: Tensor,
    atol: Tensor,
    max_nfe: Tensor,
    args: Args,
    nfe_start: int,
) -> Lanes:
    """Lanes before their first attempt, f(t0, y0) known.

    A lane whose budget does not cover `nfe_start`, or that starts at its stop, is charged nothing.

    Shapes: y0, f0 [lane, dim]; every other tensor [lane].
    """
    zeros = torch.zeros_like(max_nfe)
    status, nfe = first_status(f0, t0=t0, t_end=t_end, max_nfe=max_nfe, nfe_start=nfe_start)
    return Lanes(
        y=y0,
        f=f0,
        t=t0,
        dt=dt,
        accepted=torch.ones_like(zeros, dtype=torch.bool),
        nonfinite=zeros,
        status=status,
        t_end=t_end,
        rtol=rtol,
        atol=atol,
        max_nfe=max_nfe,
        args=args,
        nfe=nfe,
        steps_accepted=zeros,
        steps_rejected=zeros,
        ratio=torch.zeros_like(t0),
        err_norm=torch.zeros_like(t0),
        error_estimate=torch.zeros_like(t0),
    )


def merge(
    lanes: Lanes, accepted: Tensor, *, y: Tensor, f: Tensor, t: Tensor, err_norm: Tensor, nfe_attempt: int
) -> Lanes:
    """Take the new point where the attempt was accepted, keep the old one elsewhere, and charge the attempt.

    Shapes: accepted, t, err_norm [lane]; y, f [lane, dim].
    """
    rows = accepted[:, None]
    attempted = lanes.running
    return replace(
        lanes,
        y=torch.where(rows, y, lanes.y),
        f=torch.where(rows, f, lanes.f),
        t=torch.where(accepted, t, lanes.t),
        accepted=accepted,
        nfe=lanes.nfe + nfe_attempt * attempted,
        steps_accepted=lanes.steps_accepted + accepted,
        steps_rejected=lanes.steps_rejected + (attempted & ~accepted),
        err_norm=torch.where(attempted, err_norm, 0.0),
        error_estimate=lanes.error_estimate + torch.where(accepted, err_norm, 0.0),
    )
