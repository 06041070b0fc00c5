"""What an artifact says of itself, and that nothing else is believed."""

import json
import os

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from node_model.calibration_table import Calibration, CalibrationRow, TolLimits
from node_model.errors import ArtifactError
from node_model.manifest import (
    MANIFEST,
    Graphs,
    Manifest,
    MethodSpec,
    Normalisation,
    PartSpec,
    PictureSpec,
    ProgramSpec,
    Provenance,
    TensorSpec,
    read_manifest,
    sha256_of,
    verified_bytes,
    verify,
    write_manifest,
)

FILES = ("weights.safetensors", *(f"onnx/density/{name}.onnx" for name in ("encode", "start", "decode", "step-bosh3")))
ZERO = "0" * 64


def program():
    graphs = Graphs(
        encode="onnx/density/encode.onnx",
        start="onnx/density/start.onnx",
        decode="onnx/density/decode.onnx",
        step={"bosh3": "onnx/density/step-bosh3.onnx"},
    )
    row = {"nfe_mean": 12.5, "nfe_p50": 12, "nfe_p99": 17, "error_rms": 1e-3, "error_p99": 3e-3, "first_dt": 0.25}
    return ProgramSpec(
        graphs=graphs,
        input=TensorSpec(
            name="point", shape=(2,), dtype="float32", normalisation=Normalisation(mean=(0.1, 0.2), std=(1.0, 2.0))
        ),
        outputs=(TensorSpec(name="log_density", shape=(), dtype="float64"),),
        args=(TensorSpec(name="probe", shape=(2,), dtype="float32", draw="rademacher"),),
        interval=(1.0, 0.0),
        parts=(PartSpec(name="x", size=2), PartSpec(name="log_det", size=1)),
        methods={"bosh3": MethodSpec(order=3, nfe_start=1, nfe_attempt=3)},
        tol=TolLimits(tightest=1e-5, loosest=1e-1, default=1e-3),
        calibration=Calibration(
            unit="nat",
            metric="nll",
            data="a fresh draw",
            items=5000,
            reference="torch float64 dopri5",
            command="odetrain calibrate",
            rows=(
                CalibrationRow(method="bosh3", tol=0.1, **row),
                CalibrationRow(method="bosh3", tol=1e-5, **row),
                CalibrationRow(method="bosh3", tol=1e-6, skipped="predicted over 5,000 NFE"),
            ),
        ),
    )


def manifest_of(**changes):
    fields = {
        "name": "cnf-toy",
        "version": "3",
        "task": "density",
        "state_dtype": "float32",
        "architecture": {"family": "cnf", "mean": [0.1, 0.2], "std": [1.0, 2.0], "hidden": [8]},
        "parameters": 42,
        "programs": {"log_density": program()},
        "standardised_log_density_offset": 0.1,
        "provenance": Provenance(
            data="toy", data_sha256={"toy.npz": ZERO}, seed=1, command="odetrain cnf", epochs=2.5, date="2025-01-31"
        ),
        "sha256": dict.fromkeys(FILES, ZERO),
    }
    return Manifest(**fields | changes)


@pytest.fixture
def artifact(tmp_path):
    directory = tmp_path / "cnf-toy" / "3"
    for name in FILES:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"content of {name}".encode())
    write_manifest(directory, manifest_of(sha256={name: sha256_of(directory / name) for name in FILES}))
    return directory


def rewrite(directory, change):
    """Change the JSON of a manifest by hand, as a tamperer would."""
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_manifest_survives_being_written_and_read(artifact):
    written = read_manifest(artifact)
    write_manifest(artifact, written)
    assert verify(artifact) == written
    assert written.programs["log_density"] == program()
    assert sorted(path.name for path in artifact.iterdir()) == ["manifest.json", "onnx", "weights.safetensors"]


def test_sizes_follow_from_the_specs():
    assert program().dim == 3
    assert program().input.size == 2
    assert program().outputs[0].size == 1


@pytest.mark.parametrize("name", FILES)
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_one_altered_byte_is_refused_with_the_name_of_the_file(tmp_path_factory, name, position, flip):
    directory = tmp_path_factory.mktemp("altered")
    contents = {file: f"content of {file}".encode() for file in FILES}
    for file, content in contents.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_bytes(content)
    manifest = manifest_of(sha256={file: sha256_of(directory / file) for file in FILES})
    write_manifest(directory, manifest)
    altered = bytearray(contents[name])
    altered[position % len(altered)] ^= flip
    (directory / name).write_bytes(altered)
    with pytest.raises(ArtifactError, match=rf"{name}: sha256 differs"):
        verify(directory)
    with pytest.raises(ArtifactError, match=rf"{name}: sha256 differs"):
        verified_bytes(directory, manifest, name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["removed", "emptied", "cut short", "grown", "a folder"])
def test_a_file_that_is_not_whole_is_refused_with_its_name(artifact, name, what):
    path = artifact / name
    content = path.read_bytes()
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what != "removed":
        path.write_bytes({"emptied": b"", "cut short": content[:-1], "grown": content + b"\n"}[what])
    with pytest.raises(ArtifactError, match=name):
        verify(artifact)


def test_what_was_checked_is_what_is_given_back(artifact):
    assert verified_bytes(artifact, read_manifest(artifact), FILES[1]) == f"content of {FILES[1]}".encode()


def test_a_link_out_of_the_artifact_is_refused_even_with_the_right_hash(artifact, tmp_path):
    outside = tmp_path / "outside"
    (artifact / FILES[0]).rename(outside)
    (artifact / FILES[0]).symlink_to(outside)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors: points outside the artifact"):
        verify(artifact)


def test_a_linked_folder_out_of_the_artifact_is_refused(artifact, tmp_path):
    (artifact / "onnx").rename(tmp_path / "onnx")
    (artifact / "onnx").symlink_to(tmp_path / "onnx")
    with pytest.raises(ArtifactError, match="points outside the artifact"):
        verify(artifact)


def test_an_artifact_may_itself_lie_behind_a_link(artifact, tmp_path):
    (tmp_path / "latest").symlink_to(artifact)
    assert verify(tmp_path / "latest").name == "cnf-toy"


@pytest.mark.parametrize(
    "name",
    [
        "../weights.safetensors",
        "onnx/../../weights.safetensors",
        "/etc/passwd",
        "./weights.safetensors",
        "onnx//encode.onnx",
        "onnx/",
        "",
        ".hidden",
        "a\\b",
        "weights.safetensors\n",
        "C:/weights",
        "a/b/c/d/e/f",
        "x" * 300,
    ],
)
@pytest.mark.parametrize("where", ["sha256", "graph"])
def test_a_file_name_that_is_not_plain_is_refused(artifact, name, where):
    def change(content):
        content["sha256"][name] = ZERO
        if where == "graph":
            content["programs"]["log_density"]["graphs"]["encode"] = name

    rewrite(artifact, change)
    with pytest.raises(ArtifactError, match=MANIFEST):
        read_manifest(artifact)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "onnx/density/other.onnx", MANIFEST])
def test_a_file_that_is_not_listed_is_not_given_out(artifact, name):
    with pytest.raises(ArtifactError, match=r"not listed in manifest\.json"):
        verified_bytes(artifact, read_manifest(artifact), name)


def at(*path):
    """A change of the entry at a path of keys."""

    def change(content, value):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


LOG_DENSITY = ("programs", "log_density")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (at("surprise"), 1, "surprise"),
        (at(*LOG_DENSITY, "surprise"), 1, r"programs\.log_density\.surprise"),
        (at(*LOG_DENSITY, "calibration", "rows", 0, "surprise"), 1, "surprise"),
        (at("format"), 2, "format"),
        (at("version"), "1.0", "version"),
        (at("version"), "0", "version"),
        (at("version"), "latest", "version"),
        (at("version"), "1\n", "version"),
        (at("version"), 1, "version"),
        (at("version"), "../1", "version"),
        (at("name"), "a/b", "name"),
        (at("name"), "..", "name"),
        (at("name"), "", "name"),
        (at("task"), "translate", "task"),
        (at("state_dtype"), "float16", "state_dtype"),
        (at("sha256", FILES[0]), "abc", "sha256"),
        (at("sha256", FILES[0]), ZERO[:-1] + "G", "sha256"),
        (at("programs"), {}, "programs"),
        (at(*LOG_DENSITY, "tol", "default"), 1.0, "tightest <= default <= loosest"),
        (at(*LOG_DENSITY, "tol", "tightest"), 0, "tightest"),
        (at(*LOG_DENSITY, "tol", "tightest"), 1e-6, "limits within the calibrated 1e-05 to 0.1"),
        (at(*LOG_DENSITY, "tol", "loosest"), 1.0, "limits within the calibrated 1e-05 to 0.1"),
        (at(*LOG_DENSITY, "interval"), [0.0], "interval"),
        (at(*LOG_DENSITY, "interval"), [0.0, float("nan")], "interval"),
        (at(*LOG_DENSITY, "interval"), [0.0, float("inf")], "interval"),
        (at(*LOG_DENSITY, "methods", "dopri5"), {"order": 5, "nfe_start": 1, "nfe_attempt": 6}, "same methods"),
        (at(*LOG_DENSITY, "calibration", "rows", 0, "method"), "dopri5", "not in methods"),
        (at(*LOG_DENSITY, "calibration", "rows", 0, "first_dt"), 0, "first_dt"),
        (at(*LOG_DENSITY, "graphs", "encode"), "onnx/density/other.onnx", "no sha256"),
        (at(*LOG_DENSITY, "parts"), [], "parts"),
        (at("task"), "classify", "labels"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(artifact, place, value, message):
    rewrite(artifact, lambda content: place(content, value))
    with pytest.raises(ArtifactError, match=message) as refused:
        verify(artifact)
    assert str(artifact / MANIFEST) in str(refused.value)


@pytest.mark.parametrize("missing", ["version", "programs", "sha256", "provenance", "architecture"])
def test_a_missing_entry_is_refused(artifact, missing):
    rewrite(artifact, lambda content: content.pop(missing))
    with pytest.raises(ArtifactError, match=missing):
        read_manifest(artifact)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_a_manifest_that_is_no_manifest_is_refused(artifact, content):
    (artifact / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError, match=MANIFEST):
        read_manifest(artifact)


def test_a_manifest_of_many_megabytes_is_not_even_read(artifact):
    os.truncate(artifact / MANIFEST, 5 * 2**20)
    with pytest.raises(ArtifactError, match="larger than"):
        read_manifest(artifact)


def test_a_directory_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"manifest\.json.*expected an artifact directory"):
        read_manifest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(tmp_path / "file")


def test_a_manifest_does_not_change_after_it_was_read():
    with pytest.raises(ValidationError, match="frozen"):
        manifest_of().version = "4"


def test_a_manifest_of_before_there_were_pictures_says_nothing_of_them(artifact):
    for program in read_manifest(artifact).programs.values():
        assert program.input.picture is None


@pytest.mark.parametrize(
    ("shape", "limits", "box"),
    [((28,), (0, 1), 20), ((28, 28), None, 20), ((28, 28), (0, 1), 29), ((28, 20), (0, 1), 21)],
)
def test_a_picture_must_fit_into_its_input(shape, limits, box):
    picture = PictureSpec(shows="ink", box=box, centre="mass")
    with pytest.raises(ValidationError, match="picture"):
        TensorSpec(name="image", shape=shape, dtype="float32", range=limits, picture=picture)
