"""From runs to the page: what `odetrain study` records is what `odetrain report` shows, and nothing else."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node_model.manifest import read_manifest
from service.engine.cost import CostTable
from training import cli
from training.report import write_report
from training.report_serving import auto_method
from training.study_classifier import LADDER

SMALL = "--epochs 1 --batch-size 64 --threads 1 --data"


def odetrain(words):
    result = CliRunner().invoke(cli.app, words.split())
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of tiny runs, which are recorded under the names of the real ones."""
    root = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("ODETRAIN_RUNS", str(root / "runs"))
        for name, words in (
            ("odenet-mnist-plain", f"odenet {SMALL} digits --channels 8"),
            ("mlp-mnist", f"baseline mlp {SMALL} digits"),
            ("odenet-fashion", f"odenet {SMALL} digits --channels 8 --seed 1"),
            ("compare-none-bfloat16", f"odenet {SMALL} digits --channels 8 --precision bfloat16 --last-epochs 0"),
            ("compare-none", f"odenet {SMALL} digits --channels 8 --last-epochs 0"),
            ("compare-kinetic", f"odenet {SMALL} digits --channels 8 --regularize kinetic"),
            ("cnf-pinwheel", "cnf --data pinwheel --epochs 1 --batch-size 5000 --hidden 16,16 --threads 1"),
            ("planar-pinwheel", "baseline planar --data pinwheel --epochs 1 --batch-size 5000 --layers 2 --threads 1"),
        ):
            odetrain(f"{words} --name {name}")
        brief = [
            root / "runs" / name
            for name in ("compare-kinetic", "odenet-fashion", "compare-none", "compare-none-bfloat16")
        ]
        odetrain("study --brief " + " ".join(map(str, brief)))
        said = odetrain("study " + " ".join(str(path) for path in (root / "runs").iterdir() if path not in brief))
        assert "next: odetrain report" in said
        for path in (root / "docs" / "runs").glob("*.json"):
            record = json.loads(path.read_text())
            if record["metrics"]["data"] == "digits":
                record["metrics"]["data"] = "mnist"
                path.write_text(json.dumps(record))
        assert "docs/paper.md: written" in odetrain("report")
    return root / "docs" / "paper.md"


def records(page):
    return {path.stem: json.loads(path.read_text())["metrics"] for path in (page.parent / "runs").glob("*.json")}


def test_every_section_is_there_and_its_figures_are_those_of_the_records(page):
    text, known = page.read_text(), records(page)
    for heading in ("Table 1", "Memory", "Figure 3", "Euler", "for serving", "ships", "bfloat16", "planar", "Records"):
        assert heading in text
    error = known["mlp-mnist"]["test"]["error"]
    assert re.search(rf"\| mlp-mnist \| 1-layer MLP \| 1 \| float32 \| {100 * error:.2f} %", text)
    flow = known["cnf-pinwheel"]
    test = flow["test"]
    assert f"{-test['log_density']:.3f} ({test['gap']:+.3f} ± {test['gap_standard_error']:.3f})" in text
    assert "odetrain baseline mlp --data digits --epochs 1" in text


def test_every_picture_exists_and_none_is_left_over(page):
    linked = set(re.findall(r"\]\((paper/[^)]+)\)", page.read_text()))
    assert linked == {f"paper/{path.name}" for path in (page.parent / "paper").iterdir()}
    assert all((page.parent / link).stat().st_size > 5_000 for link in linked)


def test_the_report_says_the_same_again(page, tmp_path):
    write_report(page.parent / "runs", tmp_path / "paper.md")
    assert (tmp_path / "paper.md").read_text() == page.read_text()


def test_the_adjoint_keeps_the_same_at_every_tolerance_and_the_solvers_steps_do_not(page):
    rows = records(page)["odenet-mnist-plain"]["tolerances"]
    assert [row["tol"] for row in rows] == list(LADDER)
    adjoint = [row["adjoint"]["solve_bytes_kept"] for row in rows]
    through = [row["through"]["solve_bytes_kept"] for row in rows]
    assert max(adjoint) <= 1.05 * min(adjoint)
    assert through[-1] > 2 * through[0] > 2 * adjoint[0]
    assert all(row["adjoint"]["nfe_forward"] == row["through"]["nfe_forward"] for row in rows)
    assert all(row["through"]["nfe_backward"] == 0 for row in rows)


def test_a_brief_study_has_table_one_and_what_is_served(page):
    brief, whole = (records(page)[name] for name in ("compare-kinetic", "odenet-mnist-plain"))
    assert [row["tol"] for row in brief["tolerances"]] == [1e-3]
    assert brief["euler"] == []
    assert [row["tol"] for row in brief["serving"]] == [row["tol"] for row in whole["serving"]]


def test_a_toys_gap_is_that_to_its_entropy_but_surer(page):
    flow = records(page)["cnf-pinwheel"]
    test = flow["test"]
    unpaired = -test["log_density"] - flow["entropy"]
    assert abs(test["gap"] - unpaired) < 4 * (test["standard_error"] + test["gap_standard_error"])
    assert test["gap"] > 0


def test_a_served_image_is_solved_as_calibration_would_have_it(page):
    whole = records(page)["odenet-mnist-plain"]
    for method in ("bosh3", "dopri5", "tsit5"):
        rows = [row for row in whole["serving"] if row["method"] == method]
        cuts = [round(1 / row["first_dt"]) for row in rows]
        assert cuts == sorted(cuts)
        assert all(row["nfe"] >= (4 if method == "bosh3" else 7) for row in rows)
        errors = [row["logit_error_p99"] for row in rows]
        assert errors[-1] < errors[0]
    assert [row["items"] for row in whole["served"]] == [297] * 3
    assert f"| {auto_method(whole['serving'], 1e-2)} (auto) |" in page.read_text()


@pytest.mark.parametrize("model", ["odenet-mnist", "odenet-fashion"])
def test_the_automatic_method_is_the_services(model):
    spec = read_manifest(Path("checkpoints") / model / "1").programs["classify"]
    rows = [
        {"method": row.method, "tol": row.tol, "nfe": row.nfe_mean, "logit_error_p99": row.error_p99}
        for row in spec.calibration.rows
    ]
    table = CostTable(spec)
    for tol in {row["tol"] for row in rows}:
        assert auto_method(rows, tol) == table.cheapest_method(tol, tol)


def test_the_grid_of_a_density_sums_to_one(page):
    grid = records(page)["cnf-pinwheel"]["grid"]
    cell = (2 * grid["reach"] / len(grid["density"])) ** 2
    assert sum(map(sum, grid["density"])) * cell == pytest.approx(1, abs=0.1)
    path = records(page)["cnf-pinwheel"]["path"]
    assert [state["t"] for state in path] == [0, 0.25, 0.5, 0.75, 1]


def test_a_record_that_is_none_is_named(tmp_path):
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(ValueError, match=r"odd.json: has no command"):
        write_report(tmp_path, tmp_path / "paper.md")
    with pytest.raises(ValueError, match="make some with odetrain study"):
        write_report(tmp_path / "empty", tmp_path / "paper.md")


def test_an_artifact_is_studied_as_the_run_that_it_was_exported_from(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odetrain(f"export {page.parent.parent / 'runs' / 'cnf-pinwheel'} --name pinwheel --out artifacts")
    odetrain("study artifacts/pinwheel/1")
    record = json.loads((tmp_path / "docs" / "runs" / "pinwheel.json").read_text())
    of_run = json.loads((page.parent / "runs" / "cnf-pinwheel.json").read_text())
    assert record["command"] == of_run["command"]
    assert record["metrics"] == of_run["metrics"] | {"history": [], "origins": record["metrics"]["origins"]}


def test_a_directory_that_holds_neither_run_nor_artifact_is_named(tmp_path):
    result = CliRunner().invoke(cli.app, ["study", str(tmp_path / "nothing")])
    assert result.exit_code == 1
    assert "nothing/config.json" in str(result.exception)
