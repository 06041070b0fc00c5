"""The whole line on the small digits: train, export, calibrate, evaluate, through the command line."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from node_model.checkpoint import load_model
from node_model.manifest import read_manifest, verify, write_manifest

ONE_THREAD = ("--threads", "1")
"""Tests run side by side, and teams of threads that fight for the same cores take ten times as long."""


def odetrain_in(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("odetrain")), *arguments],
        cwd=root,
        env=os.environ | {"ODETRAIN_RUNS": str(root / "runs"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipeline")
    odetrain = partial(odetrain_in, root)
    odetrain(
        "odenet",
        "--data",
        "digits",
        "--epochs",
        "6",
        "--channels",
        "16",
        "--batch-size",
        "32",
        "--learning-rate",
        "0.01",
        *ONE_THREAD,
    )
    odetrain("export", "runs/odenet-digits")
    directory = root / "checkpoints" / "odenet-digits" / "1"
    table = odetrain("calibrate", str(directory), "--items", "100", *ONE_THREAD)
    scores = odetrain("evaluate", str(directory), "--tol", "1e-2", "--tol", "1e-4", "--record", *ONE_THREAD)
    return directory, table, scores


def test_the_artifact_is_whole_and_says_where_it_comes_from(artifact):
    directory, _, _ = artifact
    manifest = verify(directory)
    assert manifest.task == "classify"
    assert manifest.labels == tuple("0123456789")
    assert manifest.provenance.command.startswith("odetrain odenet --data digits --epochs 6 --batch-size 32")
    assert not [path for path in directory.rglob("*") if path.suffix not in {".json", ".safetensors", ".onnx", ""}]
    _, model = load_model(directory)
    assert manifest.parameters == sum(p.numel() for p in model.parameters())


def test_the_table_grows_dearer_and_more_accurate_towards_tight_tolerances(artifact):
    directory, printed, _ = artifact
    program = read_manifest(directory).programs["classify"]
    assert program.calibration is not None
    for method in program.methods:
        rows = [row for row in program.calibration.rows if row.method == method and not row.skipped]
        assert len(rows) >= 5
        assert rows[0].tol == program.tol.loosest == 0.1
        assert rows[-1].nfe_mean > rows[0].nfe_mean
        assert rows[-1].error_p99 < rows[0].error_p99 / 10
        assert all(row.nfe_p50 <= row.nfe_p99 for row in rows)
        assert rows[-1].agreement == 1
        assert rows[-1].first_dt <= rows[0].first_dt <= 1
    assert program.tol.tightest >= 1e-6
    assert "errors in logit" in printed


def test_between_rows_nfe_is_measured_and_can_be_measured_alone(artifact):
    directory, _, _ = artifact
    manifest = read_manifest(directory)
    (name, program), *_ = manifest.programs.items()
    rows = program.calibration.rows
    assert all(row.nfe_between is None for row in rows if row.tol == 0.1)
    inner = [row for row in rows if row.tol < 0.1 and not row.skipped]
    # From the looser row to this one NFE grows, but for what the first cut costs where it changes.
    assert all(row.nfe_between[-1] <= 1.2 * row.nfe_mean for row in inner)
    forgotten = tuple(row.model_copy(update={"nfe_between": None}) for row in rows)
    without = program.model_copy(
        update={"calibration": program.calibration.model_copy(update={"rows": forgotten, "command": "the first"})}
    )
    write_manifest(directory, manifest.model_copy(update={"programs": {name: without}}))
    odetrain_in(directory, "calibrate", str(directory), "--items", "100", "--between", *ONE_THREAD)
    again = read_manifest(directory).programs[name].calibration
    write_manifest(directory, manifest)
    assert again.rows == rows
    assert again.command.startswith("the first; odetrain calibrate")
    assert again.command.endswith("--between")


def test_test_scores_are_recorded_with_method_and_tolerance(artifact):
    directory, _, printed = artifact
    scores = read_manifest(directory).provenance.test
    assert scores["error@dopri5,0.01"] < 0.5
    assert scores["nfe@dopri5,0.0001"] > scores["nfe@dopri5,0.01"]
    assert "297 items" in printed
    assert json.loads((directory / "manifest.json").read_text())["provenance"]["test"] == scores
