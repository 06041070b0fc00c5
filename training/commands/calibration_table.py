"""A model's table of cost and error, for a terminal of 80 columns."""

from collections.abc import Callable, Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from node_model.calibration_table import Calibration, CalibrationRow
from node_model.manifest import Manifest

Cell = Callable[[float], str]
NARROW = {"accuracy": "accu-\nracy", "mean log-density": "mean\nnats"}
"""Names of scores, as headings no wider than their numbers."""


def calibration_tables(manifest: Manifest) -> Iterator[Table]:
    """A table per program: what each tolerance costs and how wrong it is. Columns without a number are left out."""
    for name, program in manifest.programs.items():
        if program.calibration is not None:
            yield _table(f"{manifest.name} {name}, errors in {program.calibration.unit}", program.calibration)


def _table(title: str, calibration: Calibration) -> Table:
    table = Table("method", "tol", title=title, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    columns = []
    for heading, value, cell in _columns(calibration.metric):
        if any(value(row) is not None for row in calibration.rows):
            table.add_column(heading, justify="right")
            columns.append((value, cell))
    for row in calibration.rows:
        cells = ["-" if (number := value(row)) is None else cell(number) for value, cell in columns]
        table.add_row(row.method, f"{row.tol:.0e}", *cells)
    return table


def _columns(metric: str) -> tuple[tuple[str, Callable[[CalibrationRow], float | None], Cell], ...]:
    """Heading, where the number stands, and how it is written."""
    return (
        ("nfe\nmean", lambda row: row.nfe_mean, _count),
        ("nfe\np50", lambda row: row.nfe_p50, _count),
        ("nfe\np99", lambda row: row.nfe_p99, _count),
        ("error\nrms", lambda row: row.error_rms, _short),
        ("error\np99", lambda row: row.error_p99, _short),
        (NARROW.get(metric, metric), lambda row: row.metric, _score),
        ("agree-\nment", lambda row: row.agreement, _score),
        ("first\ndt", lambda row: row.first_dt, _short),
    )


def _short(value: float) -> str:
    return f"{value:.3g}"


def _count(value: float) -> str:
    """Without the exponent that three digits would give a thousand."""
    return f"{value:.0f}" if value >= 100 else _short(value)


def _score(value: float) -> str:
    """A digit more, since shares near one are told apart by it."""
    return f"{round(value, 4):.4g}"
