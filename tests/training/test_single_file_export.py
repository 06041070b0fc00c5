"""odetrain export --single-file: what is asked for and cannot be had is said in a line, and nothing is left behind."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from packing import packed
from typer.testing import CliRunner

from training import cli

SHIPPED = Path(__file__).parents[2] / "checkpoints"
FLOW = SHIPPED / "cnf-two-moons" / "1"


def exported(*words):
    return CliRunner().invoke(cli.app, ["export", *map(str, words)])


@pytest.fixture
def artifact(tmp_path):
    """A copy of a shipped artifact, to be spoilt."""
    return Path(shutil.copytree(FLOW, tmp_path / "cnf-two-moons" / "1"))


def altered(artifact, file, content, change=lambda manifest: None):
    """Another content for a file, and a manifest that says so."""
    (artifact / file).write_bytes(content)
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["sha256"][file] = hashlib.sha256(content).hexdigest()
    change(manifest)
    (artifact / "manifest.json").write_text(json.dumps(manifest))


def test_the_file_is_named_after_what_is_in_it_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = exported("--single-file", FLOW)
    assert done.exit_code == 0, done.output
    assert re.search(r"cnf-two-moons-1-log_density-dopri5.onnx: written, 5\d\d,\d{3} bytes", done.output)
    done = exported("--single-file", FLOW, "--program", "sample", "--method", "bosh3", "--out", "moons.onnx")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cnf-two-moons-1-log_density-dopri5.onnx", "moons.onnx"]
    session = ort.InferenceSession("moons.onnx", providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["base", "tol", "max_nfe"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "euler"), "method: expected one of bosh3, dopri5, tsit5; got 'euler'"),
        (("--program", "classify"), "program: expected one of log_density, sample; got 'classify'"),
        (("--out", "missing/file.onnx"), "No such file or directory: 'missing/file.onnx'"),
        (("--out", "."), ". exists; choose another file with --out or remove it"),
        (("--name", "mine"), "--name: not with --single-file"),
        (("--version", "2"), "--version: not with --single-file"),
        (("--data-dir", "."), "--data-dir: not with --single-file"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    done = exported("--single-file", FLOW, *options)
    assert done.exit_code == 1
    assert words in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "mine.onnx").write_text("mine")
    done = exported("--single-file", FLOW, "--out", tmp_path / "mine.onnx")
    assert "mine.onnx exists; choose another file" in str(done.exception)
    assert (tmp_path / "mine.onnx").read_text() == "mine"


@pytest.mark.parametrize("option", [("--method", "dopri5"), ("--program", "sample"), ("--stops",)])
def test_options_of_a_single_file_are_refused_for_a_run(tmp_path, option):
    assert f"{option[0]}: not with a run" in str(exported(tmp_path, *option).exception)


def test_a_run_is_no_artifact(tmp_path):
    assert "expected an artifact directory" in str(exported("--single-file", tmp_path).exception)


def test_an_altered_graph_is_named(artifact, tmp_path):
    step = artifact / "onnx" / "log_density" / "step-dopri5.onnx"
    step.write_bytes(step.read_bytes()[:-1] + b"x")
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "step-dopri5.onnx: sha256 differs from manifest.json" in str(done.exception)
    assert not (tmp_path / "file.onnx").exists()


def test_a_graph_that_is_none_is_named(artifact, tmp_path):
    altered(artifact, "onnx/log_density/start.onnx", b"\xff no graph")
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "start.onnx: is no graph of ONNX" in str(done.exception)


def test_a_graph_with_other_tensors_is_named(artifact, tmp_path):
    altered(artifact, "onnx/log_density/start.onnx", (artifact / "onnx/log_density/decode.onnx").read_bytes())
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "start: expected inputs y, t, t_end, max_nfe; got y" in str(done.exception)


def test_weights_in_further_files_are_refused(artifact, tmp_path):
    graph = onnx.load(artifact / "onnx/log_density/start.onnx")
    onnx.external_data_helper.convert_model_to_external_data(graph, location="weights", size_threshold=16)
    for tensor in graph.graph.initializer:
        if onnx.external_data_helper.uses_external_data(tensor):
            tensor.ClearField("raw_data")
    altered(artifact, "onnx/log_density/start.onnx", graph.SerializeToString())
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "start: its weights lie in further files" in str(done.exception)


def test_a_tensor_called_as_one_that_every_file_has_is_named(artifact, tmp_path):
    graph = onnx.load(artifact / "onnx/log_density/decode.onnx")
    (output,) = graph.graph.output
    for node in graph.graph.node:
        node.output[:] = ["nfe" if name == output.name else name for name in node.output]
    output.name = "nfe"

    def called(manifest):
        manifest["programs"]["log_density"]["outputs"][0]["name"] = "nfe"

    altered(artifact, "onnx/log_density/decode.onnx", graph.SerializeToString(), called)
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "a single file has a tensor 'nfe' of its own" in str(done.exception)


def test_a_graph_of_another_version_of_the_operators_is_named(artifact, tmp_path):
    graph = onnx.load(artifact / "onnx/log_density/decode.onnx")
    graph.opset_import[0].version = 19
    altered(artifact, "onnx/log_density/decode.onnx", graph.SerializeToString())
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "decode: its operators (ai.onnx) are of another version" in str(done.exception)


def test_a_file_that_would_answer_otherwise_is_not_written(artifact, tmp_path, monkeypatch):
    from training import solve_graph

    monkeypatch.setattr(solve_graph, "first_dt", lambda *_: 0.37)
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert "would not answer as the graphs of the artifact do, at tol 0.1" in str(done.exception)
    assert not (tmp_path / "file.onnx").exists()


def test_the_same_artifact_makes_the_same_file(tmp_path):
    for name in ("one.onnx", "two.onnx"):
        assert exported("--single-file", FLOW, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_operators_that_graphs_bring_along_come_along_and_may_not_differ(artifact, tmp_path):
    """Decode through an operator of its own, which another graph may have too, if it is the same."""

    def with_operator(file, kind):
        graph = onnx.load(FLOW / file)
        (output,) = graph.graph.output
        for node in graph.graph.node:
            node.output[:] = ["before" if name == output.name else name for name in node.output]
        graph.graph.node.append(onnx.helper.make_node("same", ["before"], [output.name], domain="mine"))
        body = [onnx.helper.make_node(kind, ["a"], ["b"])]
        graph.functions.append(
            onnx.helper.make_function("mine", "same", ["a"], ["b"], body, [onnx.helper.make_opsetid("", 20)])
        )
        graph.opset_import.append(onnx.helper.make_opsetid("mine", 1))
        return graph.SerializeToString()

    decode, encode = "onnx/log_density/decode.onnx", "onnx/log_density/encode.onnx"
    altered(artifact, decode, with_operator(decode, "Identity"))
    altered(artifact, encode, with_operator(encode, "Identity"))
    done = exported("--single-file", artifact, "--out", tmp_path / "file.onnx")
    assert done.exit_code == 0, done.exception
    altered(artifact, encode, with_operator(encode, "Neg"))
    done = exported("--single-file", artifact, "--out", tmp_path / "other.onnx")
    assert "its operator mine.same is another graph's too" in str(done.exception)


@pytest.mark.parametrize("build", ["looked_up", "looked_up_in_range"])
def test_a_table_lookup_needs_the_range_that_it_has(tmp_path, monkeypatch, one_method, build):
    """Inputs are drawn: what the table does not have fails in the runtime, and is told in a line."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.array([[0.05], [0.15], [0.25], [0.35], [0.45]], np.float32))
    done = packed(f"own_models:{build} --name table --example rows.npy --threads 1")
    assert done.exit_code == 0, done.output
    done = exported("--single-file", "checkpoints/table/1")
    if build == "looked_up_in_range":
        assert done.exit_code == 0, done.output
        return
    said = str(done.exception)
    assert said.startswith("odetrain: predict: encode: ONNX Runtime fails: ")
    assert "; input drawn between -1 and 1: " in said
    assert "give a range in the manifest (OwnProgram(range=...), OwnArg(range=...))" in said
    assert "\n" not in said
    assert not list(tmp_path.glob("*.onnx"))
