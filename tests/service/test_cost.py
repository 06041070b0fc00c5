"""The calibration table read, on made-up tables."""

import pytest
from artifacts import calibration
from hypothesis import given
from hypothesis import strategies as st

from node_model.calibration_table import NFE_BETWEEN, CalibrationRow, TolLimits
from node_model.manifest import Graphs, MethodSpec, PartSpec, ProgramSpec, TensorSpec
from service.engine.cost import CostTable


def spec(table):
    methods = {name: MethodSpec(order=3, nfe_start=1, nfe_attempt=3) for name in ("bosh3", "dopri5")}
    tols = [row.tol for row in table.rows if row.skipped is None] if table else [1e-4, 1e-1]
    return ProgramSpec(
        graphs=Graphs(encode="e.onnx", start="s.onnx", step={m: f"{m}.onnx" for m in methods}, decode="d.onnx"),
        input=TensorSpec(name="x", shape=(1,), dtype="float32"),
        outputs=(TensorSpec(name="y", shape=(1,), dtype="float32"),),
        interval=(1.0, 0.0),
        parts=(PartSpec(name="y", size=1),),
        methods=methods,
        tol=TolLimits(tightest=min(tols), loosest=max(tols), default=max(tols)),
        calibration=table,
    )


def table(*cells, first_dt=None):
    """A table from (method, tol, nfe, error) cells; `first_dt` by nfe."""
    rows = tuple(
        CalibrationRow(
            method=method,
            tol=tol,
            nfe_mean=nfe,
            nfe_p50=nfe,
            nfe_p99=2 * nfe - 1,
            error_rms=error,
            error_p99=error,
            margin_error_p99=2 * error,
            first_dt=first_dt[nfe] if first_dt else 1 / nfe,
        )
        for method, tol, nfe, error in cells
    )
    return CostTable(spec(calibration("logit").model_copy(update={"rows": rows})))


COSTS = table(
    *(("bosh3", 1e-1, 4, 0.1), ("bosh3", 1e-2, 10, 0.01), ("bosh3", 1e-3, 40, 0.001)),
    *(("dopri5", 1e-1, 7, 0.05), ("dopri5", 1e-2, 13, 0.01), ("dopri5", 1e-3, 19, 0.001)),
)


def test_a_row_is_read_as_it_stands():
    assert COSTS.nfe_mean("bosh3", 1e-2) == pytest.approx(10)
    assert COSTS.nfe_p99("bosh3", 1e-2) == 19
    assert COSTS.error_p99("bosh3", 1e-2) == 0.01
    assert COSTS.margin_error_p99("bosh3", 1e-2) == 0.02
    assert COSTS.first_dt("bosh3", 1e-2) == 0.1


def test_between_rows_the_error_is_the_looser_rows_and_first_cut_and_percentile_are_the_tighter_ones():
    assert COSTS.error_p99("bosh3", 3e-3) == 0.01
    assert COSTS.first_dt("bosh3", 3e-3) == 1 / 40
    assert COSTS.nfe_p99("bosh3", 3e-3) == COSTS.nfe_p99("bosh3", 1e-3) == 79
    assert COSTS.first_dt("bosh3", 0.5) == 1 / 4
    assert COSTS.first_dt("bosh3", 1e-5) == 1 / 40


@given(st.floats(1e-3, 1e-1))
def test_where_nothing_was_measured_between_rows_nfe_is_theirs_in_the_logarithm(tol):
    found = COSTS.nfe_mean("bosh3", tol)
    assert 4 * (1 - 1e-9) <= found <= 40 * (1 + 1e-9)
    assert COSTS.nfe_mean("bosh3", tol * 0.9 if tol > 1.2e-3 else tol) >= found * (1 - 1e-9)
    assert COSTS.nfe_mean("bosh3", (1e-2 * 1e-3) ** 0.5) == pytest.approx(20)


def test_what_was_measured_between_rows_is_what_is_told():
    between = (12.0, 13.0, 13.0, 16.0)
    rows = table(("bosh3", 1e-1, 4, 0.1), ("bosh3", 1e-2, 16, 0.01))._spec.calibration.rows
    rows = (rows[0], rows[1].model_copy(update={"nfe_between": between}))
    costs = CostTable(spec(calibration("logit").model_copy(update={"rows": rows})))
    for share, nfe in zip(NFE_BETWEEN, between, strict=True):
        assert costs.nfe_mean("bosh3", 0.1 ** (1 + max(share, 1e-9))) == pytest.approx(nfe, rel=1e-6)
    assert costs.nfe_mean("bosh3", 1e-1) == 4
    assert costs.nfe_mean("bosh3", 0.1**1.125) == pytest.approx((12 * 13) ** 0.5)
    assert costs.nfe_mean("bosh3", 1e-2) == 16


def test_looser_than_measured_costs_the_loosest_row_and_tighter_is_unknown():
    assert COSTS.nfe_mean("bosh3", 0.5) == pytest.approx(4)
    assert COSTS.nfe_mean("bosh3", 1e-5) is None
    assert COSTS.error_p99("bosh3", 0.5) is None


def test_auto_takes_the_cheapest_method_that_is_nearly_as_exact_as_the_reference():
    assert COSTS.cheapest_method(1e-1, 1e-1) == "dopri5"  # bosh3 is cheaper, but twice as wrong
    assert COSTS.cheapest_method(1e-2, 1e-2) == "bosh3"
    assert COSTS.cheapest_method(1e-3, 1e-3) == "dopri5"
    # the error belongs to the larger of rtol and atol, the cost to the smaller
    assert COSTS.cheapest_method(1e-2, 1e-3) == "dopri5"


def test_of_two_methods_that_cost_the_same_auto_takes_the_more_accurate():
    for worse, better in (("bosh3", "dopri5"), ("dopri5", "bosh3")):
        assert table((worse, 1e-2, 7, 0.012), (better, 1e-2, 7, 0.01)).cheapest_method(1e-2, 1e-2) == better


@pytest.mark.parametrize(("tol", "cap", "budget"), [(1e-1, 10_000, 200), (1e-3, 10_000, 790), (1e-3, 300, 300)])
def test_the_default_budget_is_ten_times_the_calibrated_one_within_bounds(tol, cap, budget):
    assert COSTS.max_nfe("bosh3", tol, cap) == budget


def test_cells_that_were_not_measured_are_passed_over():
    skipped = CalibrationRow(method="bosh3", tol=1e-3, skipped="predicted over 5,000 NFE")
    measured = table(("bosh3", 1e-1, 4, 0.1), ("bosh3", 1e-2, 10, 0.01))._spec.calibration
    costs = CostTable(spec(measured.model_copy(update={"rows": (*measured.rows, skipped)})))
    assert costs.nfe_mean("bosh3", 1e-3) is None
    assert costs.error_p99("bosh3", 1e-3) == 0.01
    assert costs.max_nfe("bosh3", 1e-3, 5_000) == 5_000


def test_without_calibration_there_is_a_first_step_and_nothing_else():
    costs = CostTable(spec(None))
    assert costs.unit is None
    assert costs.first_dt("bosh3", 1e-2) == pytest.approx(0.1)
    assert costs.nfe_mean("bosh3", 1e-2) is None
    assert costs.error_p99("bosh3", 1e-2) is None
    assert costs.cheapest_method(1e-2, 1e-2) == "dopri5"
