"""odetrain pack: what becomes of a model of one's own, and what is said on the way."""

import copy
import json

import numpy as np
import onnxruntime
import own_models
import pytest
import torch
from packing import packed, refused
from typer.testing import CliRunner

from node_model.manifest import verify
from training import cli
from training.pack_arrays import read_arrays
from training.pack_checks import check_program
from training.pack_shapes import shapes_of

pytestmark = pytest.mark.usefixtures("one_method")


def test_the_artifact_says_what_was_given_and_what_was_measured(own_folder):
    manifest = verify(own_folder / "checkpoints" / "damped" / "2")
    spec = manifest.programs["predict"]
    assert (manifest.task, manifest.state_dtype) == ("predict", "float64")
    assert [(arg.name, arg.range) for arg in spec.args] == [("damping", (0.0, 1.0))]
    assert [(output.name, output.shape) for output in spec.outputs] == [("state", (2,)), ("energy", ())]
    assert [part.name for part in spec.parts] == ["position", "velocity"]
    assert spec.tol.tightest == 1e-12
    assert manifest.provenance.command.startswith("odetrain pack own_models:damped --name damped --version 2")
    rows = [row for row in spec.calibration.rows if row.method == "dopri5"]
    assert rows[0].error_p99 > 1e3 * rows[-1].error_p99
    classes = verify(own_folder / "checkpoints" / "shapes" / "1").programs["classify"].calibration
    assert (classes.unit, classes.metric, classes.data) == ("logit", "accuracy", "110 items of labelled.npz")
    assert all(row.metric is not None for row in classes.rows if row.skipped is None)


def test_outputs_may_be_called_as_the_exporter_calls_tensors_inside(own_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.array([[0.5, -1.0], [1.0, 2.0]], np.float32))
    result = packed("own_models:words_of_the_exporter --name words --example few.npy --threads 1")
    assert result.exit_code == 0, result.exception
    assert "graphs agree with the modules" in result.output


def test_a_single_file_is_made_of_a_model_of_positive_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.array([[0.5, 1.5], [1.0, 2.0]], np.float32))
    assert packed("own_models:logarithm --name log --example few.npy --threads 1").exit_code == 0
    result = CliRunner().invoke(cli.app, ["export", "--single-file", "checkpoints/log/1", "--out", "log.onnx"])
    assert result.exit_code == 0, result.exception
    session = onnxruntime.InferenceSession("log.onnx", providers=["CPUExecutionProvider"])
    feed = {"input": np.array([[1.0, 2.0]], np.float32), "tol": np.array([1e-4]), "max_nfe": np.array([0])}
    output, *_, status = session.run(None, feed)
    np.testing.assert_allclose(output[0], np.log([1.0, 2.0]) - 0.1, atol=1e-4)
    assert status.tolist() == [1]
    for name in ("tol", "max_nfe"):
        with pytest.raises(Exception, match=r"(?i)reshape|expand"):
            session.run(None, feed | {name: np.repeat(feed[name], 3)})


def test_rounding_in_another_batch_is_no_neighbour():
    """A float32 field whose sums cancel is taken, and said to be on its own by what it does in float64."""
    model, inputs = own_models.cancels().eval().requires_grad_(False), torch.randn(8, 2)
    wanted = model.wanted["predict"]
    model.take_shapes({"predict": shapes_of(wanted, 0, inputs, ())})
    field = model.program("predict").field
    whole, t = field(torch.zeros(8), inputs, ()), torch.zeros(1)
    alone = torch.cat([field(t, inputs[lane : lane + 1], ()) for lane in range(8)])
    assert 1e-5 < float(((whole - alone).abs() / whole.abs().amax(1, keepdim=True)).max()) < 1e-2
    assert len(list(check_program(model.program("predict"), wanted, inputs, (), 1e-3))) == 2
    wide = copy.deepcopy(model).double()
    assert len(list(check_program(wide.program("predict"), wide.wanted["predict"], inputs.double(), (), 1e-3))) == 2


def test_an_artifact_that_is_there_is_left_as_it_was(own_folder, monkeypatch):
    monkeypatch.chdir(own_folder)
    there = own_folder / "checkpoints" / "own"
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    refused("own_models:damped --name own --example damped.npz")
    # A failure later on takes nothing away from other versions.
    refused("bad_models:svd --name own --version 2 --example points.npy --threads 1")
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before


def test_too_few_items_leave_it_uncalibrated_and_say_so(own_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(own_folder)
    result = packed(f"own_models:classifier --name few --example images.npy --out {tmp_path} --threads 1")
    assert result.exit_code == 0, result.output
    assert "not calibrated: 20 items are too few for a p99" in " ".join(result.output.split())
    assert (
        json.loads((tmp_path / "few" / "1" / "manifest.json").read_text())["programs"]["classify"].get("calibration")
        is None
    )


def test_of_a_long_file_no_more_than_asked_for_is_read(tmp_path):
    np.save(tmp_path / "long.npy", np.arange(2_000.0).reshape(1_000, 2))
    arrays = read_arrays(tmp_path / "long.npy", own_models.torchdiffeqs(), 300)
    assert arrays["input"].shape == (300, 2)
