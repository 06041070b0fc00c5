"""Artifacts that must not be served, and settings that name what is not there."""

import json
import shutil

import onnx
import pytest
from artifacts import CLOUD, DIGITS, METHOD, RAW

from node_model.errors import ArtifactError
from node_model.manifest import MANIFEST, sha256_of
from service.check import check_artifact
from service.models import load_model, load_models
from service.settings import Settings, SettingsError, read_settings


@pytest.fixture
def copied(models_dir, tmp_path):
    """A copy of an artifact, to be tampered with."""
    return lambda name: shutil.copytree(models_dir / name / "1", tmp_path / name / "1")


def rewrite(directory, change):
    """Change the manifest as somebody with an editor would."""
    manifest = json.loads((directory / MANIFEST).read_text())
    change(manifest)
    (directory / MANIFEST).write_text(json.dumps(manifest))


def wrong_part(manifest):
    manifest["programs"]["sample"]["parts"] = [{"name": "x", "size": 9}]


def wrong_output(manifest):
    manifest["programs"]["sample"]["outputs"][0]["shape"] = [7]


def wrong_limits(manifest):
    manifest["programs"]["log_density"]["tol"]["tightest"] = 1e-12


def too_few_labels(manifest):
    manifest["labels"] = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (CLOUD, wrong_part, "sample does not run: the state"),
        (CLOUD, wrong_output, "sample does not run: output"),
        (CLOUD, wrong_limits, "within the calibrated"),
        (DIGITS, too_few_labels, "labels: 3 of them"),
    ],
)
def test_a_manifest_that_contradicts_its_graphs_is_refused(copied, name, change, words):
    rewrite(directory := copied(name), change)
    with pytest.raises(ArtifactError, match=words):
        load_model(directory, Settings(lanes=2))
    with pytest.raises(ArtifactError, match=words):
        list(check_artifact(directory))


def test_a_check_names_every_file_that_is_wrong(copied):
    directory = copied(RAW)
    graphs = directory / "onnx" / "sample"
    (graphs / "start.onnx").write_bytes(b"altered")
    (graphs / "decode.onnx").unlink()
    (directory / "more.pkl").write_bytes(b"")
    fine = []
    with pytest.raises(ArtifactError) as wrong:
        fine.extend(check_artifact(directory))
    lines = str(wrong.value).splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == ["more.pkl", "decode.onnx", "start.onnx"]
    assert "not listed" in lines[0]
    assert "No such file" in lines[1]
    assert "sha256 differs" in lines[2]
    assert any("encode.onnx: sha256 as in" in line for line in fine)


def test_a_check_names_every_graph_that_does_not_run(copied):
    directory = copied(RAW)
    hashes = {}
    for program in ("sample", "log_density"):
        path = directory / "onnx" / program / "start.onnx"
        path.write_bytes(b"no graph")
        hashes[f"onnx/{program}/start.onnx"] = sha256_of(path)
    rewrite(directory, lambda manifest: manifest["sha256"].update(hashes))
    with pytest.raises(ArtifactError) as wrong:
        list(check_artifact(directory))
    lines = str(wrong.value).splitlines()
    assert len(lines) == 2
    assert all("start.onnx: no graph that ONNX Runtime can load" in line for line in lines)


def test_a_method_that_costs_other_than_its_manifest_says_is_found(copied):
    directory = copied(RAW)
    rewrite(directory, lambda manifest: manifest["programs"]["sample"]["methods"][METHOD].update(nfe_attempt=4))
    with pytest.raises(ArtifactError, match=rf"step-{METHOD}\.onnx: \d+ steps took \d+ evaluations"):
        list(check_artifact(directory))


def test_weights_that_were_altered_are_refused_although_only_graphs_are_run(copied):
    directory = copied(RAW)
    (directory / "weights.safetensors").write_bytes(b"altered")
    rewrite(directory, lambda manifest: manifest["sha256"].update({"weights.safetensors": "0" * 64}))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: sha256"):
        load_model(directory, Settings(lanes=2))


@pytest.mark.parametrize("place", ["here", "beside the graph"])
def test_weights_outside_the_hashed_files_are_refused(copied, monkeypatch, place):
    directory = copied(DIGITS)
    name = f"onnx/classify/step-{METHOD}.onnx"
    graph = directory / name
    model = onnx.load(graph)
    folder = graph.parent if place == "beside the graph" else directory.parent
    graph.unlink()
    monkeypatch.chdir(folder)
    onnx.save(model, folder / graph.name, save_as_external_data=True, location="further.bin", size_threshold=256)
    assert (folder / "further.bin").exists()
    if folder != graph.parent:
        shutil.move(folder / graph.name, graph)
    rewrite(directory, lambda manifest: manifest["sha256"].update({name: sha256_of(graph)}))
    with pytest.raises(ArtifactError, match=graph.name):
        load_model(directory, Settings(lanes=2))


@pytest.mark.parametrize("name", [f"{DIGITS}@9", "nobody"])
def test_a_default_model_that_is_not_there_ends_the_start(models_dir, name):
    with pytest.raises(SettingsError, match=f"ODESERVE_DEFAULT_MODELS.*{name.partition('@')[2] or name}"):
        load_models(Settings(models_dir=models_dir, models=(DIGITS,), default_models=(name,), lanes=2))


def test_no_model_at_all_is_not_a_choice(monkeypatch):
    monkeypatch.setenv("ODESERVE_MODELS", "")
    with pytest.raises(SettingsError, match="ODESERVE_MODELS"):
        read_settings()
