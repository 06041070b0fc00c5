"""The calibration table by decades of tolerance: what the present is compared with."""

import math

from node_model.calibration_table import CalibrationRow
from service.engine.program import ServedProgram


def decades(program: ServedProgram) -> list[CalibrationRow]:
    """The measured rows at whole powers of ten, each by the method that `auto` takes there."""
    calibration, cost = program.spec.calibration, program.cost
    measured = [row for row in calibration.rows if row.skipped is None] if calibration else []
    return [
        row for row in measured if _is_power_of_ten(row.tol) and row.method == cost.cheapest_method(row.tol, row.tol)
    ]


def _is_power_of_ten(tol: float) -> bool:
    power = math.log10(tol)
    return abs(power - round(power)) < 1e-9
