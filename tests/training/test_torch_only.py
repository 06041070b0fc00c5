"""odetrain pack --torch-only: a model without a form in ONNX, served by PyTorch where its package is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import own_models
import pytest
from packing import packed, refused
from typer.testing import CliRunner

from node_model.checkpoint import INSTALLED
from node_model.errors import ArtifactError
from node_model.manifest import verify
from service.check import check_artifact
from service.models import load_model
from service.settings import Settings
from tests.service.apps import ODESERVE, environment, serving
from training import cli, measure
from training.graphs import GraphProgram
from training.modules import ModuleProgram

ROOT = Path(__file__).parents[2]
MODULE = """
import torch
from torch import nn

from node_model.own import OwnModel, OwnProgram


class Singular(nn.Module):
    # Of y times its transpose the singular values are |y|^2 and 0.
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.3))

    def forward(self, t, y, args):
        return -self.rate * torch.linalg.svdvals(y[:, :, None] * y[:, None, :])


def build():
    return OwnModel("predict", OwnProgram(nn.Identity(), Singular(), nn.Identity()))
"""
ORDER = "singular:build --name singular --example ../points.npy --threads 1"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the artifact, and beside it the package that a server would have installed."""
    place = tmp_path_factory.mktemp("torch-only")
    for folder in ("work", "package"):
        (place / folder).mkdir()
        (place / folder / "singular.py").write_text(MODULE)
    info = place / "package" / "singular-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: singular\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{INSTALLED}]\nsingular = singular:build\n")
    np.save(place / "points.npy", np.random.default_rng(3).uniform(0.5, 2, (120, 2)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "work")
        patch.setattr(measure, "LADDER", (1e-1, 1e-3, 1e-5))
        said = refused(f"{ORDER} --out {place}/models")
        assert "operator aten._linalg_svd has no form in ONNX, at" in said
        assert "; --torch-only packs it without graphs" in said
        assert "\n" not in said
        result = packed(f"{ORDER} --torch-only --out {place}/models")
        assert result.exit_code == 0, result.exception
        said = " ".join(result.output.split())
        assert "next: install a package that declares singular:build as an entry point of odeserve.models" in said
        assert f"next: ODESERVE_BACKEND=torch ODESERVE_MODELS_DIR={place}/models odeserve serve" in said
    return place


@pytest.fixture
def installed(place, monkeypatch):
    """Its package is found by programs that are started."""
    monkeypatch.setenv("PYTHONPATH", f"{place / 'package'}:{ROOT}")


def exact(points, rate=0.3):
    """Where the field leads: the second number stays, the first falls as a tangent."""
    first, second = points.T.astype(np.float64)
    return np.stack([second * np.tan(np.arctan(first / second) - rate * second), second], 1)


def odeserve(*words, **variables):
    return subprocess.run(
        [ODESERVE, *map(str, words)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_artifact_has_weights_and_a_table_and_no_graphs(place):
    directory = place / "models" / "singular" / "1"
    assert {path.name for path in directory.iterdir()} == {"manifest.json", "weights.safetensors"}
    manifest = verify(directory)
    assert not manifest.has_graphs
    assert "--torch-only" in manifest.provenance.command
    rows = [row for row in manifest.programs["predict"].calibration.rows if row.method == "dopri5"]
    assert [row.tol for row in rows] == [1e-1, 1e-3, 1e-5]
    assert rows[0].error_p99 > rows[-1].error_p99
    assert all(row.nfe_mean >= 7 and row.first_dt for row in rows)


def test_pytorch_serves_it_where_its_package_is_installed(place, installed):
    points = np.load(place / "points.npy")[:20]
    with serving(MODELS_DIR=place / "models", BACKEND="torch", LANES=8, SHARDS=1) as server:
        body = {"inputs": points.tolist()}
        answer = httpx.post(f"{server.url}/predict?model=singular&tol=1e-5", json=body, timeout=60).json()
        rows = httpx.get(f"{server.url}/models/singular/tradeoff").json()["rows"]
        about = httpx.get(f"{server.url}/models/singular").json()
    found = np.array([prediction["output"] for prediction in answer["predictions"]])
    np.testing.assert_allclose(found, exact(points), atol=2e-4)
    assert {row["method"] for row in rows} == {"bosh3", "dopri5", "tsit5"}
    assert about["programs"]["predict"]["graphs"] is None


def test_onnx_runtime_refuses_it_at_the_start_and_says_who_serves_it(place, installed):
    done = odeserve("serve", "--port", 0, MODELS_DIR=place / "models", LANES=8)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "has no graphs" in line]
    assert "singular@1: predict has no graphs; ODESERVE_BACKEND=torch serves it" in line
    assert "package that declares singular:build is installed" in line
    assert "Traceback" not in done.stderr


def test_pytorch_refuses_it_where_no_package_declares_it(place, tmp_path, monkeypatch):
    """Though the module lies where Python would find it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "singular.py").write_text("raise SystemExit('it was imported')\n")
    monkeypatch.delitem(sys.modules, "singular", raising=False)
    with pytest.raises(
        ArtifactError, match=r"got 'singular:build'; for PyTorch install a package .*odeserve\.models'$"
    ):
        load_model(place / "models" / "singular" / "1", Settings(backend="torch", lanes=8))
    assert "singular" not in sys.modules


def test_a_check_solves_it_with_pytorch(place, installed):
    done = odeserve("check", place / "models" / "singular" / "1")
    assert done.returncode == 0, done.stderr
    assert "predict: weights load, for PyTorch alone; input [2] -> output [2]" in done.stdout
    assert done.stdout.count("solves at tol") == 3


def test_a_check_without_pytorch_says_that_it_is_missing(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "service.backends.torch", None)
    with pytest.raises(ArtifactError, match="1: predict has no graphs, and PyTorch is not here"):
        list(check_artifact(place / "models" / "singular" / "1"))


def test_it_cannot_become_a_single_file(place):
    words = ["export", "--single-file", str(place / "models" / "singular" / "1"), "--out", str(place / "x.onnx")]
    result = CliRunner().invoke(cli.app, words)
    assert "singular@1: predict has no graphs" in str(result.exception)
    assert not (place / "x.onnx").exists()


def test_some_programs_with_graphs_and_some_without_are_no_artifact(own_folder, tmp_path):
    shutil.copytree(own_folder / "checkpoints" / "own" / "1", tmp_path / "own" / "1")
    manifest = tmp_path / "own" / "1" / "manifest.json"
    document = json.loads(manifest.read_text())
    more = dict(document["programs"]["predict"])
    del more["graphs"]
    document["programs"]["more"] = more
    manifest.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="graphs: expected of every program, or of none"):
        verify(tmp_path / "own" / "1")


def test_modules_are_measured_as_their_graphs_would_be(own_folder):
    directory = own_folder / "checkpoints" / "own" / "1"
    manifest, points = verify(directory), np.load(own_folder / "points.npy")[:30]
    model = own_models.torchdiffeqs().requires_grad_(False)
    model.take_specs(manifest.programs)
    graphs = GraphProgram(directory, manifest, "predict", threads=1)
    modules = ModuleProgram(manifest.programs["predict"], model.program("predict"))
    y0 = graphs.encode(points)
    np.testing.assert_array_equal(modules.encode(points), y0)
    np.testing.assert_allclose(modules.decode(y0)[0], graphs.decode(y0)[0])
    for tol in (1e-1, 1e-3, 1e-5):
        how = {"method": "dopri5", "tol": tol, "dt": 0.4}
        one, other = (program.solve(y0, {}, **how, max_nfe=1_000) for program in (graphs, modules))
        np.testing.assert_allclose(other.y, one.y, atol=1e-4)
        np.testing.assert_array_equal(other.status, one.status)
        assert (other.nfe == one.nfe).mean() > 0.9
        accepted = [program.first_accepted(y0, {}, **how) for program in (graphs, modules)]
        assert (accepted[0] == accepted[1]).mean() > 0.9
