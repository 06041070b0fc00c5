"""Weights beside a manifest: what was saved is what is loaded, whole or not at all."""

import pytest
import safetensors.torch
import torch
from test_manifest import manifest_of

from node_model.checkpoint import architecture_of, load_model, publish, rebuild, save_weights
from node_model.cnf import CNF, CNFConfig
from node_model.errors import ArtifactError
from node_model.manifest import WEIGHTS, sha256_of, write_manifest
from node_model.odenet import ODENet, ODENetConfig

MODELS = {
    "odenet": lambda: ODENet(ODENetConfig(image_size=8, channels=8, classes=3, mean=0.2, std=0.5)),
    "cnf": lambda: CNF(CNFConfig(mean=(0.1, -0.2, 3.0), std=(1.0, 2.0, 0.5), hidden=(5, 7))),
}


def save(model, directory, **changes):
    """An artifact with weights alone; its graphs are not needed to load a network."""
    directory.mkdir(exist_ok=True)
    save_weights(model, directory)
    manifest = manifest_of(architecture=architecture_of(model), **changes)
    hashes = manifest.sha256 | {WEIGHTS: sha256_of(directory / WEIGHTS)}
    write_manifest(directory, manifest.model_copy(update={"sha256": hashes}))
    return directory


@pytest.mark.parametrize("family", MODELS)
def test_a_loaded_network_is_the_one_that_was_saved(family, tmp_path):
    model = MODELS[family]()
    manifest, loaded = load_model(save(model, tmp_path / "a"))
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert not loaded.training
    assert manifest.architecture["family"] == family
    for (name, saved), (same, found) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(saved, found)


def test_a_float64_network_stays_float64(tmp_path):
    model = MODELS["cnf"]().double()
    _, loaded = load_model(save(model, tmp_path / "a", state_dtype="float64"))
    for saved, found in zip(model.parameters(), loaded.parameters(), strict=True):
        assert found.dtype == torch.float64
        assert torch.equal(saved, found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "transformer"}, "expected odenet or cnf, got 'transformer'"),
        ({"family": None}, "expected odenet or cnf"),
        ({"surprise": 1}, "surprise"),
        ({"image_size": 31}, "image_size"),
        ({"channels": "many"}, "architecture"),
    ],
)
def test_an_architecture_that_is_not_known_is_refused(change, message):
    architecture = architecture_of(MODELS["odenet"]()) | change
    with pytest.raises(ArtifactError, match=message):
        rebuild(manifest_of(architecture=architecture))


def test_altered_weights_are_refused_with_the_name_of_the_file(tmp_path):
    directory = save(MODELS["cnf"](), tmp_path / "a")
    content = bytearray((directory / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (directory / WEIGHTS).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{WEIGHTS}: sha256 differs"):
        load_model(directory)


@pytest.mark.parametrize("wrong", ["another shape", "a tensor missing", "a tensor too many", "no safetensors"])
def test_weights_that_do_not_fit_are_refused_with_the_name_of_the_file(tmp_path, wrong):
    directory = save(MODELS["cnf"](), tmp_path / "a")
    tensors = safetensors.torch.load_file(directory / WEIGHTS)
    first = next(iter(tensors))
    if wrong == "another shape":
        tensors[first] = torch.zeros(2, 2)
    elif wrong == "a tensor missing":
        del tensors[first]
    elif wrong == "a tensor too many":
        tensors["more"] = torch.zeros(1)
    content = b"nothing of the kind" if wrong == "no safetensors" else safetensors.torch.save(tensors)
    (directory / WEIGHTS).write_bytes(content)
    manifest = manifest_of(architecture=architecture_of(MODELS["cnf"]()))
    hashes = manifest.sha256 | {WEIGHTS: sha256_of(directory / WEIGHTS)}
    write_manifest(directory, manifest.model_copy(update={"sha256": hashes}))
    with pytest.raises(ArtifactError, match=WEIGHTS):
        load_model(directory)


def test_publishing_shows_the_whole_or_nothing(tmp_path):
    destination = tmp_path / "cnf-toy" / "1"

    def write(directory):
        assert not destination.exists()
        (directory / "a").write_text("whole")

    publish(destination, write)
    assert (destination / "a").read_text() == "whole"
    assert [path.name for path in destination.parent.iterdir()] == ["1"]
    assert destination.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failed_publication_leaves_nothing_behind(tmp_path, failure):
    def write(directory):
        (directory / "half").write_text("")
        raise failure

    with pytest.raises(failure):
        publish(tmp_path / "cnf-toy" / "1", write)
    assert not (tmp_path / "cnf-toy").exists()
    (tmp_path / "cnf-toy" / "2").mkdir(parents=True)
    with pytest.raises(failure):
        publish(tmp_path / "cnf-toy" / "1", write)
    assert [path.name for path in (tmp_path / "cnf-toy").iterdir()] == ["2"]


def test_a_version_is_never_overwritten(tmp_path):
    publish(tmp_path / "1", lambda directory: (directory / "a").write_text("first"))
    with pytest.raises(FileExistsError, match="choose another version"):
        publish(tmp_path / "1", lambda directory: (directory / "a").write_text("second"))
    assert (tmp_path / "1" / "a").read_text() == "first"
