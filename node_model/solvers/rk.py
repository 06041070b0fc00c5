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
                # A Python number would be written to the graph in float32.
                term = torch.tensor(weight, dtype=stage.dtype, device=stage.device) * stage
                total = term if total is None else total + term
            else:
                total = weight * stage if total is None else torch.add(total, stage, alpha=weight)
    return total


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
        increment = _combine(row, stages)
        y1 = y if increment is None else y + width * increment
        stages.append(field((t + torch.tensor(c, dtype=h.dtype, device=h.device) * h).to(y.dtype), y1, args))
    if not tableau.fsal:
        increment = _combine(tableau.b, stages)
        y1 = y if increment is None else y + width * increment
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
