"""The table of cost and error in a terminal of 80 columns: nothing of it is cut."""

from pathlib import Path

import pytest
from rich.console import Console

from node_model.calibration_table import CalibrationRow
from node_model.manifest import read_manifest
from training.commands.calibration_table import calibration_tables

ROOT = Path(__file__).parents[2]
LONGEST = CalibrationRow(
    method="dopri5",
    tol=1e-12,
    nfe_mean=4987.654,
    nfe_p50=4999.0,
    nfe_p99=12345.0,
    error_rms=0.000246813,
    error_p99=1.23456e-07,
    metric=-0.0123456,
    agreement=0.99987,
    first_dt=0.000123456,
)


def manifest_with(*rows, metric="accuracy"):
    """A shipped model's manifest with other rows in its table."""
    manifest = read_manifest(ROOT / "checkpoints" / "odenet-mnist" / "1")
    spec = manifest.programs["classify"]
    table = spec.calibration.model_copy(update={"rows": rows, "metric": metric})
    return manifest.model_copy(update={"programs": {"classify": spec.model_copy(update={"calibration": table})}})


def lines_of(manifest):
    console = Console(width=80)
    with console.capture() as captured:
        for table in calibration_tables(manifest):
            console.print(table)
    return captured.get().splitlines()


@pytest.mark.parametrize("metric", ["accuracy", "mean log-density"])
def test_the_longest_numbers_fit_into_80_columns(metric):
    lines = lines_of(manifest_with(LONGEST, metric=metric))
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert lines[-1].split() == [
        *("dopri5", "1e-12", "4988", "4999", "12345"),
        *("0.000247", "1.23e-07", "-0.0123", "0.9999", "0.000123"),
    ]


@pytest.mark.parametrize("model", ["odenet-mnist", "cnf-two-moons", "cnf-protein"])
def test_tables_of_shipped_models_are_whole_in_80_columns(model):
    manifest = read_manifest(ROOT / "checkpoints" / model / "1")
    lines = lines_of(manifest)
    assert "…" not in "".join(lines)
    measured = [row for program in manifest.programs.values() for row in program.calibration.rows]
    cells = [line.split() for line in lines if line.split()[:1] in (["bosh3"], ["dopri5"], ["tsit5"])]
    assert len(cells) == len(measured)
    for row, found in zip(measured, cells, strict=True):
        assert found[:2] == [row.method, f"{row.tol:.0e}"]
        if row.skipped is None:
            assert float(found[2]) == pytest.approx(row.nfe_mean, rel=5e-3)
            assert float(found[6]) == pytest.approx(row.error_p99, rel=5e-3)


def test_a_column_without_a_number_is_left_out_and_a_cell_without_one_is_a_dash():
    without = LONGEST.model_copy(update={"metric": None, "tol": 1e-6})
    skipped = CalibrationRow(method="tsit5", tol=1e-6, skipped="predicted over 5000 evaluations")
    lines = lines_of(manifest_with(without, skipped))
    assert "accu-" not in "".join(lines)
    assert lines[-1].split() == ["tsit5", "1e-06", *("-" * 7)]
