"""Trace of a field's Jacobian: exact, or estimated from a probe that is passed in."""

from typing import Protocol

import torch
from torch import Tensor

from node_model.rows import row_sum


class TangentField(Protocol):
    """A field that can push tangents forward; see TimeMLP.with_tangents."""

    def with_tangents(self, t: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]: ...


def exact_trace(field: TangentField, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The field and tr(df/dx), from one tangent per dimension.

    Shapes: t [lane] or [1], x [lane, dim] -> [lane, dim], [lane].
    Source: Chen et al. 2018, theorem 1 (instantaneous change of variables).
    """
    basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[None]
    f, jacobian = field.with_tangents(t, x, basis)
    return f, row_sum((jacobian * basis).flatten(1))


def hutchinson_trace(field: TangentField, t: Tensor, x: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """The field and probe . (df/dx) probe, whose mean over probes of covariance 1 is the trace.

    The same probe must serve the whole solve, or the integrand is not a function of time.

    Shapes: t [lane] or [1], x, probe [lane, dim] -> [lane, dim], [lane].
    Source: Hutchinson 1990; Grathwohl et al. 2019 (FFJORD), section 3.1.
    """
    f, product = field.with_tangents(t, x, probe[:, None, :])
    return f, row_sum(product[:, 0] * probe)
