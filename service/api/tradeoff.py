"""What each calibrated tolerance of a model costs and how wrong its answer is."""

from typing import Any

from service.engine.forecast import Crowd, forecast
from service.engine.program import ServedProgram

FIELDS = ("method", "tol", "nfe_mean", "nfe_p50", "nfe_p99", "error_rms", "error_p99", "metric", "agreement")
ALONE = Crowd(waiting=0, running=0, shards=1, turns=1)


def tradeoff_rows(name: str, program: ServedProgram) -> list[dict[str, Any]]:
    """`rows` of /models/{name}/tradeoff for one program: the measured cells, loosest first within each method."""
    calibration = program.spec.calibration
    if calibration is None:
        return []
    usual = program.usual.factor
    return [
        {
            "program": name,
            **{field: getattr(row, field) for field in FIELDS},
            "unit": calibration.unit,
            "predicted_ms": round(1e3 * usual * forecast(program, row.method, row.tol, 1, ALONE).expected, 3),
        }
        for row in calibration.rows
        if row.skipped is None
    ]
