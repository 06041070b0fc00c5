"""Models of installed packages on the PyTorch backend, and what is refused there."""

import json
import shutil
import sys

import numpy as np
import pytest

from node_model.checkpoint import INSTALLED
from node_model.errors import ArtifactError
from service.engine.stepper import Rows, Terms
from service.models import load_model
from service.settings import Settings


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package whose entry point says that `own_models:torchdiffeqs` may be run here."""
    info = tmp_path / "own_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{INSTALLED}]\nspiral = own_models:torchdiffeqs\nother = bad_models:nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def torch_backend(directory):
    return load_model(directory, Settings(backend="torch", lanes=8))


def test_pytorch_runs_what_an_installed_package_declares(own_folder, installed):
    """With the weights of the artifact, which need not be those that the package builds."""
    directory = own_folder / "checkpoints" / "own" / "1"
    points = np.load(own_folder / "points.npy")[:5]
    answers = []
    for model in (torch_backend(directory), load_model(directory, Settings(lanes=8))):
        program = model.programs["predict"]
        terms = Terms(rtol=np.full(5, 1e-6), atol=np.full(5, 1e-6), max_nfe=np.full(5, 1_000), first_dt=np.full(5, 0.1))
        started = program.stepper.start(Rows(points, (), terms))
        answers.append(program.stepper.peek(started.lanes, ("f",))[0])
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_pytorch_runs_nothing_that_an_artifact_alone_names(own_folder, tmp_path, monkeypatch):
    """Neither what was packed here, nor what somebody wrote into a manifest: no module is looked for."""
    with pytest.raises(ArtifactError, match=r"expected odenet or cnf.*got 'own_models:torchdiffeqs'.*entry point"):
        torch_backend(own_folder / "checkpoints" / "own" / "1")
    shutil.copytree(own_folder / "checkpoints" / "own" / "1", tmp_path / "own" / "1")
    (tmp_path / "evil.py").write_text("raise SystemExit('it was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = tmp_path / "own" / "1" / "manifest.json"
    for family in ("evil:build", "os:system", "evil", ["evil:build"], None):
        document = json.loads(manifest.read_text()) | {"architecture": {"family": family}}
        manifest.write_text(json.dumps(document))
        with pytest.raises(ArtifactError, match="architecture"):
            torch_backend(tmp_path / "own" / "1")
        assert "evil" not in sys.modules
        # As graphs it is served all the same: nobody looks at the family.
        assert load_model(tmp_path / "own" / "1", Settings(lanes=8)).name == "own"


def changed(own_folder, tmp_path, build, **changes):
    """A copy of the artifact whose manifest says something else of its program."""
    shutil.copytree(own_folder / "checkpoints" / "own" / "1", tmp_path / "own" / "1")
    manifest = tmp_path / "own" / "1" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["architecture"] = {"family": build}
    spec = document["programs"]["predict"]
    for name, value in changes.items():
        spec[name] = spec[name] | value if isinstance(value, dict) else value
    manifest.write_text(json.dumps(document))
    return tmp_path / "own" / "1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": [0.0, 3.0]}, "interval: (0.0, 2.0) here, (0.0, 3.0) in the artifact"),
        ({"input": {"name": "point"}}, "input: input here, point in the artifact"),
        ({"input": {"range": [0.0, 1.0]}}, "input range: None here, (0.0, 1.0) in the artifact"),
        ({"input": {"draw": "rademacher"}}, "input draw: None here, rademacher in the artifact"),
        (
            {"parts": [{"name": "x", "size": 1}, {"name": "v", "size": 1}]},
            "parts: {'state': 2} here, {'x': 1, 'v': 1} in the artifact",
        ),
        (
            {"args": [{"name": "mass", "shape": [], "dtype": "float32"}]},
            "args: () here, ('mass',) in the artifact",
        ),
    ],
)
def test_an_installed_package_that_is_another_than_was_packed_is_refused(
    own_folder, tmp_path, installed, changes, words
):
    directory = changed(own_folder, tmp_path, "own_models:torchdiffeqs", **changes)
    with pytest.raises(ArtifactError, match="own_models:torchdiffeqs: ValueError: predict: ") as refusal:
        torch_backend(directory)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_installed_function_that_builds_no_model_is_refused(own_folder, tmp_path, installed):
    with pytest.raises(ArtifactError, match="bad_models:nothing: AttributeError"):
        torch_backend(changed(own_folder, tmp_path, "bad_models:nothing"))
