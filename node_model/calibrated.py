"""What the calibration table decides about a solve that names a tolerance alone: its first attempt and its budget.

Both are step functions of the tolerance. Torch-free: the service and the single file follow the same rules.
"""

import math
from collections.abc import Sequence

from node_model.calibration_table import CalibrationRow
from node_model.manifest import ProgramSpec

UNCALIBRATED_STEPS = 10
LEAST_MAX_NFE = 200
MAX_NFE_FACTOR = 10


def measured_rows(spec: ProgramSpec, method: str) -> list[CalibrationRow]:
    """Rows of a method that were measured, tightest first."""
    rows = spec.calibration.rows if spec.calibration else ()
    return sorted((row for row in rows if row.method == method and row.skipped is None), key=lambda row: row.tol)


def at_most(rows: Sequence[CalibrationRow], tol: float) -> CalibrationRow | None:
    """The loosest of some rows, tightest first, that is no looser than a tolerance."""
    return next((row for row in reversed(rows) if row.tol <= tol), None)


def first_steps(spec: ProgramSpec, rows: Sequence[CalibrationRow], tol: float) -> int:
    """Steps the interval is cut into at first: between rows the tighter one's, which nearly all accept."""
    cuts = [row for row in rows if row.first_dt]
    row = at_most(cuts, tol) or (cuts[0] if cuts else None)
    return round(length(spec) / row.first_dt) if row and row.first_dt else UNCALIBRATED_STEPS


def first_dt(spec: ProgramSpec, rows: Sequence[CalibrationRow], tol: float) -> float:
    """Magnitude of the first attempt. Units: the field's time."""
    return length(spec) / first_steps(spec, rows, tol)


def usual_max_nfe(rows: Sequence[CalibrationRow], tol: float, cap: int) -> int:
    """Budget of a solve that names none."""
    row = at_most(rows, tol)
    if row is None or row.nfe_p99 is None:
        return cap
    return min(max(math.ceil(MAX_NFE_FACTOR * row.nfe_p99), LEAST_MAX_NFE), cap)


def length(spec: ProgramSpec) -> float:
    """Of the interval, whichever way it runs."""
    return abs(spec.interval[1] - spec.interval[0])
