"""The whole line on the small digits: train, export, calibrate, evaluate, through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node_model.checkpoint import load_model
from node_model.manifest import read_manifest, verify

ONE_THREAD = ("--threads", "1")
"""Tests run side by side, and teams of threads that fight for the same cores take ten times as long."""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipeline")

    def odetrain(*arguments: str) -> str:
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


def test_test_scores_are_recorded_with_method_and_tolerance(artifact):
    directory, _, printed = artifact
    scores = read_manifest(directory).provenance.test
    assert scores["error@dopri5,0.01"] < 0.5
    assert scores["nfe@dopri5,0.0001"] > scores["nfe@dopri5,0.01"]
    assert "297 items" in printed
    assert json.loads((directory / "manifest.json").read_text())["provenance"]["test"] == scores
