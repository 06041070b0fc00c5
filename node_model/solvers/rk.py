"""One explicit Runge-Kutta step on all lanes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from node_model.solvers.tableaus import ButcherTableau, Row
from node_model.types import Args, VectorField


def _combine(weights: Row, stages: Sequence[Tensor]) -> Tensor | None:
    """Weighted sum of the stages, zero weights skipped; None where every weight is zero."""
    total: Tensor | None = None
    for weight, stage in zip(weights, stages, strict=False):
        if weight != 0:
            if torch.compiler.is_exporting():
                term = _number(weight, stage) * stage
                total = term if total is None else total + term
            else:
                total = weight * stage if total is None else torch.add(total, stage, alpha=weight)
    return total


def _moved(y: Tensor, width: Tensor, weights: Row, stages: Sequence[Tensor]) -> Tensor:
    """y + h * weighted sum of the stages. Shapes: y and each stage [lane, dim], width (h) [lane, 1]."""
    used = [(weight, stage) for weight, stage in zip(weights, stages, strict=False) if weight != 0]
    if len(used) == 1:  # most second stages: one pass over the state less
        ((weight, stage),) = used
        return y + _number(weight, width) * width * stage
    increment = _combine(weights, stages)
    return y if increment is None else y + width * increment


def _number(value: float, like: Tensor) -> Tensor:
    """A number as a tensor: a Python number would be written to an exported graph in float32."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def rk_stages(
    field: VectorField, tableau: ButcherTableau, t: Tensor, h: Tensor, y: Tensor, f: Tensor, args: Args
) -> tuple[Tensor, list[Tensor]]:
    """The new point y1 and every stage, the first being the given f(t, y).

    Shapes: t, h (signed step) [lane] float64; y, f, y1 and each stage [lane, dim].
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.1 eq. 1.8.
    """
    # Stage times are formed in float64: t + c * h in float32 would lose the small steps of tight tolerances.
    width = h.to(y.dtype)[:, None]
    stages = [f]
    y1 = y
    for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
        y1 = _moved(y, width, row, stages)
        stages.append(field((t + _number(c, h) * h).to(y.dtype), y1, args))
    if not tableau.fsal:
        y1 = _moved(y, width, tableau.b, stages)
    return y1, stages


def rk_step(
    field: VectorField, tableau: ButcherTableau, t: Tensor, h: Tensor, y: Tensor, f: Tensor, args: Args
) -> tuple[Tensor, Tensor, Tensor]:
    """The new point y1, the field there, and the local error estimate.

    Shapes: t, h (signed step) [lane] float64; y, f [lane, dim] -> y1, f1, err [lane, dim].
    Errors: TypeError for a method without an error estimate.
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4, "Embedded Runge-Kutta formulas".
    """
    y1, stages = rk_stages(field, tableau, t, h, y, f, args)
    err = None if tableau.b_err is None else _combine(tableau.b_err, stages)
    if err is None:
        raise TypeError(f"{tableau.name} has no error estimate and cannot choose its own steps")
    f1 = stages[-1] if tableau.fsal else field((t + h).to(y.dtype), y1, args)
    return y1, f1, h.to(y.dtype)[:, None] * err
