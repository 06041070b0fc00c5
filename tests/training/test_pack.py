"""odetrain pack: a model of one's own becomes an artifact that is served, and what cannot become one is refused."""

import copy
import json
import shutil
import sys

import numpy as np
import onnxruntime
import own_models
import pytest
import torch
from scipy.integrate import solve_ivp as scipy_solve
from starlette.testclient import TestClient
from typer.testing import CliRunner

from node_model.checkpoint import INSTALLED
from node_model.errors import ArtifactError
from node_model.manifest import verify
from service.app import create_app
from service.engine.stepper import Rows, Terms
from service.models import load_model
from service.settings import Settings
from training import calibrate, cli, pack
from training.pack_arrays import read_arrays
from training.pack_checks import check_program
from training.pack_shapes import shapes_of


def packed(words):
    return CliRunner().invoke(cli.app, ["pack", *words.split()])


def refused(words):
    """The one line that is said."""
    result = packed(words)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    said = str(result.exception)
    assert said.startswith("odetrain: ")
    return said


@pytest.fixture(scope="module", autouse=True)
def _one_method():
    """Exports take seconds a graph; the guide in docs/ is followed with all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "DEFAULT_METHODS", ("dopri5",))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Examples, and the artifacts that are made of them."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(3)
    np.save(folder / "points.npy", rng.normal(size=(150, 2)).astype(np.float32))
    np.save(folder / "images.npy", rng.normal(size=(20, 4, 4)))
    np.savez(folder / "damped.npz", state=rng.normal(size=(120, 2)), damping=rng.random(120))
    np.savez(
        folder / "labelled.npz", image=rng.normal(size=(110, 4, 4)).astype(np.float32), labels=rng.integers(0, 3, 110)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(calibrate, "LADDER", (1e-1, 1e-3, 1e-6, 1e-9, 1e-12))
        for words in (
            "own_models:torchdiffeqs --name own --example points.npy",
            "own_models:damped --name damped --example damped.npz --version 2",
            "own_models:classifier --name shapes --example images.npy --calibrate labelled.npz",
        ):
            result = packed(f"{words} --threads 1")
            assert result.exit_code == 0, result.output
            assert "graphs agree with the modules" in result.output
    return folder


@pytest.fixture(scope="module")
def client(folder):
    with TestClient(create_app(Settings(models_dir=folder / "checkpoints", shards=1))) as client:
        while client.get("/health/ready").status_code != 200:
            pass
        yield client


def test_the_artifact_says_what_was_given_and_what_was_measured(folder):
    manifest = verify(folder / "checkpoints" / "damped" / "2")
    spec = manifest.programs["predict"]
    assert (manifest.task, manifest.state_dtype) == ("predict", "float64")
    assert [(arg.name, arg.range) for arg in spec.args] == [("damping", (0.0, 1.0))]
    assert [(output.name, output.shape) for output in spec.outputs] == [("state", (2,)), ("energy", ())]
    assert [part.name for part in spec.parts] == ["position", "velocity"]
    assert spec.tol.tightest == 1e-12
    assert manifest.provenance.command.startswith("odetrain pack own_models:damped --name damped --version 2")
    rows = [row for row in spec.calibration.rows if row.method == "dopri5"]
    assert rows[0].error_p99 > 1e3 * rows[-1].error_p99
    classes = verify(folder / "checkpoints" / "shapes" / "1").programs["classify"].calibration
    assert (classes.unit, classes.metric, classes.data) == ("logit", "accuracy", "110 items of labelled.npz")
    assert all(row.metric is not None for row in classes.rows if row.skipped is None)


def test_the_served_model_gives_what_scipy_gives(client, folder):
    """The field that was written for torchdiffeq, solved by somebody else's solver with its plain t."""
    points = np.load(folder / "points.npy")[:3]
    func = own_models.Func()
    times = [0.5, 1.25, 2.0]
    answer = client.post("/predict?model=own&tol=1e-6", json={"inputs": points.tolist(), "t": times}).json()

    def derivative(t, y):
        with torch.no_grad():
            return func(torch.tensor(t, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[None])[0].numpy()

    for point, prediction in zip(points, answer["predictions"], strict=True):
        exact = scipy_solve(derivative, (0, 2), point, t_eval=times, rtol=1e-6, atol=1e-6).y.T
        np.testing.assert_allclose(prediction["output"], exact, atol=3e-5)


def test_arguments_and_several_outputs_are_served(client):
    body = {"input": [1.0, 0.0], "args": {"damping": 0.5}}
    (prediction,) = client.post("/predict?model=damped&tol=1e-9", json=body).json()["predictions"]
    omega = np.sqrt(4 - 0.25)
    exact = np.exp(-1) * (np.cos(2 * omega) + 0.5 / omega * np.sin(2 * omega))
    assert prediction["output"]["state"][0] == pytest.approx(exact, abs=1e-7)
    outside = client.post("/predict?model=damped", json={**body, "args": {"damping": 2}})
    assert "args.damping: expected a number not above 1" in outside.json()["error"]["message"]


def test_a_trade_off_is_served_beside_it(client):
    rows = client.get("/models/own/tradeoff").json()["rows"]
    assert {row["method"] for row in rows} == {"dopri5"}
    assert all(row["predicted_ms"] > 0 for row in rows if row["nfe_mean"])


def test_a_classifier_of_ones_own_answers_classify(client, folder):
    image = np.load(folder / "images.npy")[0].tolist()
    (prediction,) = client.post("/classify?model=shapes&tol=1e-4", json={"image": image}).json()["predictions"]
    assert prediction["label"] in "abc"
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ("random", "field: gives something else when asked again; random operations"),
        ("dropout", "field: gives something else when asked again; random operations"),
        ("wrong_shape", "field: expected float32 [8, 2] as the state, got float32 [8, 1]"),
        ("wrong_dtype", "field: expected float32 [8, 2] as the state, got float64 [8, 2]"),
        ("no_tensor", "field: expected float32 [8, 2] as the state, got NoneType"),
        ("not_finite", "field: gives a number that is not finite for item 0 of the example"),
        ("raises", "field: called with float32 [8], float32 [8, 2] it raises RuntimeError: mat1 and mat2"),
        ("in_place", "field: changes what it is given in place"),
        ("neighbours", "field: item 0 comes out otherwise alone than among others"),
        ("faint_neighbours", "field: item 0 comes out otherwise alone than among others"),
        ("keeps", "field: gives something else after encode had other inputs"),
        ("silent", "AssertionError, at"),
        ("neighbours_later", "field: item 0 comes out otherwise alone than among others"),
        ("neighbours_in_encode", "encode: item 0 comes out otherwise alone"),
        ("neighbours_in_decode", "decode: item 0 comes out otherwise alone"),
        ("normed", "it must do for one what it does for several (no batch norm"),
        ("squeezed", "it must do for one what it does for several (no batch norm"),
        ("explodes", "ends dt_min at t = 0."),
        ("stiff", "ends max_nfe at t = 0.00"),
        ("svd", "operator aten._linalg_svd has no form in ONNX, at"),
        ("control", "decode: what is computed depends on the data (an if, a loop or a shape made of numbers), at"),
        ("branching", "what is computed depends on the data (an if, a loop or a shape made of numbers), at"),
        ("with_numpy", "numpy computes something in it; let torch do that, at"),
        ("narrow", "field in float64: called with float64 [8], float64 [8, 2] it raises RuntimeError"),
        ("fixed_count", "y would have a fixed number of items"),
        ("convolved", "ONNX Runtime has no Conv for float64 on a CPU; keep the model in float32"),
        ("three_outputs", "decode: gives 1 outputs; outputs names a, b, c"),
        ("wrong_parts", "parts: expected sizes that sum to 2"),
        ("own_y", "outputs: 'y' means something else"),
        ("own_t", "args: 't' means something else"),
        ("still", "interval: expected two numbers that differ"),
        ("odd_draw", "the manifest cannot say that: draw: Input should be 'standard_normal' or 'rademacher'"),
        ("narrow_range", "points.npy: input: expected numbers within 0 and 0.5, its range; holds"),
        ("plane", "for a state of another shape give state_shape=(1, 2)"),
        ("two_logits", "expected logits [item, 3], one for each of labels; got float32 [8, 2]"),
        ("two_densities", "expected a log-density for each item, [item]; got float32 [8, 2]"),
        ("no_density", "for density expected one named log_density, and sample and log_density_hutchinson if you like"),
        ("halved", "expected weights in float32 or in float64, got float16"),
        ("a_class", "field: expected a torch.nn.Module, got the class Plain"),
        ("hyper", "write it for lanes: forward(t, y, args) with t [item]"),
        ("unwrapped", "wrap it in node_model.torchdiffeq_field.TorchdiffeqField"),
        ("fails", "RuntimeError: weights.pt is nowhere, at"),
        ("ends", "SystemExit: 3"),
        ("nothing", "expected to be given back a node_model.own.OwnModel, got None"),
        ("nobody", "own_models has no function nobody"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(folder, monkeypatch, build, words):
    monkeypatch.chdir(folder)
    said = refused(f"own_models:{build} --name bad --example points.npy --threads 1")
    assert words in said
    assert "\n" not in said
    if build in LINES:
        assert "own_models.py:" in said
        assert LINES[build] in said
    assert not (folder / "checkpoints" / "bad").exists()


def test_outputs_may_be_called_as_the_exporter_calls_tensors_inside(folder, monkeypatch, tmp_path):
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


def test_items_without_an_answer_are_no_measure_of_others(tmp_path, monkeypatch):
    """Ten items that turn so fast that float64 cannot follow either: a table from them would be about nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, "MAX_CELL_NFE", 40)
    monkeypatch.setattr(calibrate, "LADDER", (1e-1, 1e-2))
    monkeypatch.setattr(calibrate, "TIGHTEST", {"float32": 1e-2, "float64": 1e-2})
    frequency = np.where(np.arange(150) < 140, np.linspace(0.5, 1.5, 150), 2000.0)
    np.save("fast.npy", np.stack([np.zeros(150), frequency], 1).astype(np.float32))
    said = refused("own_models:fast --name fast --example fast.npy --threads 1")
    assert "10 of 150 items end without an answer in float64 at tol 1e-03, item 140 first (max_nfe)" in said
    assert "\n" not in said
    assert not (tmp_path / "checkpoints" / "fast").exists()


def test_data_of_another_shape_than_the_examples_are_refused_before_anything_is_exported(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    np.save(tmp_path / "three.npy", np.zeros((120, 3)))
    said = refused(f"own_models:torchdiffeqs --name x --example points.npy --calibrate {tmp_path}/three.npy")
    assert "input: expected items of shape [2], as the example's; got [3]" in said


def test_a_module_that_fails_when_it_is_imported_is_told_as_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd_at_import.py").write_text("import numpy\nnumpy.nowhere\n")
    np.save("few.npy", np.zeros((2, 2)))
    assert "while odd_at_import is imported: AttributeError" in refused(
        "odd_at_import:build --name x --example few.npy"
    )


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


LINES = {
    "svd": "torch.linalg.svdvals",
    "control": "if bool(y.isfinite().all())",
    "branching": "if y.abs().max() > 1e6",
    "with_numpy": "np.tanh(y.numpy())",
    "fails": "in fails",
}
"""What stands there is named with its line."""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("own_models --name bad", "expected module:function, for instance my_model:build"),
        ("no_such_module:build --name bad", "No module named 'no_such_module'; it is looked for in"),
        ("broken_module:build --name bad", "while broken_module is imported: ZeroDivisionError: division by zero, at"),
        ("own_models:torchdiffeqs --name a/b", "--name: expected letters, digits"),
        ("own_models:torchdiffeqs --name ..", "--name: expected letters, digits"),
        ("own_models:torchdiffeqs --name bad --version 1.0", "--version: expected a whole number from 1; got '1.0'"),
        ("own_models:torchdiffeqs --name own", "exists; choose another --version or remove it"),
    ],
)
def test_orders_that_cannot_be_meant_are_refused_before_anything_is_built(folder, monkeypatch, words, reason):
    monkeypatch.chdir(folder)
    (folder / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(folder)
    assert reason in refused(f"{words} --example points.npy")


def test_an_artifact_that_is_there_is_left_as_it_was(folder, monkeypatch):
    monkeypatch.chdir(folder)
    there = folder / "checkpoints" / "own"
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    refused("own_models:damped --name own --example damped.npz")
    # A failure later on takes nothing away from other versions.
    refused("own_models:svd --name own --version 2 --example points.npy --threads 1")
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"state": np.zeros((3, 2))}, "expected arrays named state, damping; got state"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros(2)}, "expected as many items in each array"),
        ({"state": np.zeros((3, 2)), "damping": np.full(3, np.nan)}, "damping: holds a number that is not finite"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros((3, 1))}, "damping: expected items of shape []"),
        ({"state": np.array(["x"]), "damping": np.zeros(1)}, "state: expected numbers"),
        (
            {"state": np.zeros((0, 2)), "damping": np.zeros(0)},
            "state: expected numbers [item, ...], got float64 [0, 2]",
        ),
        ({"state": np.ones((1, 2)), "damping": np.ones(1)}, "expected an example of two items or more that differ"),
        ({"state": np.ones((9, 2)), "damping": np.ones(9)}, "its first 8 are the same"),
        (
            {"state": np.zeros((3, 2)), "damping": np.full(3, 2.0)},
            "damping: expected numbers within 0 and 1, its range",
        ),
        ({"state": np.zeros((3, 2)), "damping": np.zeros(3), "labels": np.zeros(3)}, "got damping, labels, state"),
        (None, "expected an .npy or .npz file"),
    ],
)
def test_examples_that_do_not_fit_are_named(tmp_path, monkeypatch, arrays, words):
    monkeypatch.chdir(tmp_path)
    if arrays is None:
        (tmp_path / "example.npz").write_text("no numbers")
    else:
        np.savez(tmp_path / "example.npz", **arrays)
    assert words in refused("own_models:damped --name bad --example example.npz")


def test_too_few_items_leave_it_uncalibrated_and_say_so(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    result = packed(f"own_models:classifier --name few --example images.npy --out {tmp_path} --threads 1")
    assert result.exit_code == 0, result.output
    assert "not calibrated: 20 items are too few for a p99" in " ".join(result.output.split())
    assert (
        json.loads((tmp_path / "few" / "1" / "manifest.json").read_text())["programs"]["classify"].get("calibration")
        is None
    )


def test_labels_that_are_no_classes_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("example.npz", image=np.zeros((3, 4, 4)), labels=np.array([0, 1, 3]))
    said = refused("own_models:classifier --name bad --example example.npz")
    assert "labels: expected a whole number of 0 to 2 for each item" in said


def test_of_a_long_file_no_more_than_asked_for_is_read(tmp_path):
    np.save(tmp_path / "long.npy", np.arange(2_000.0).reshape(1_000, 2))
    arrays = read_arrays(tmp_path / "long.npy", own_models.torchdiffeqs(), 300)
    assert arrays["input"].shape == (300, 2)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package whose entry point says that `own_models:torchdiffeqs` may be run here."""
    info = tmp_path / "own_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{INSTALLED}]\nspiral = own_models:torchdiffeqs\nother = own_models:nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def torch_backend(directory):
    return load_model(directory, Settings(backend="torch", lanes=8))


def test_pytorch_runs_what_an_installed_package_declares(folder, installed):
    """With the weights of the artifact, which need not be those that the package builds."""
    directory = folder / "checkpoints" / "own" / "1"
    points = np.load(folder / "points.npy")[:5]
    answers = []
    for model in (torch_backend(directory), load_model(directory, Settings(lanes=8))):
        program = model.programs["predict"]
        terms = Terms(rtol=np.full(5, 1e-6), atol=np.full(5, 1e-6), max_nfe=np.full(5, 1_000), first_dt=np.full(5, 0.1))
        started = program.stepper.start(Rows(points, (), terms))
        answers.append(program.stepper.peek(started.lanes, ("f",))[0])
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_pytorch_runs_nothing_that_an_artifact_alone_names(folder, tmp_path, monkeypatch):
    """Neither what was packed here, nor what somebody wrote into a manifest: no module is looked for."""
    with pytest.raises(ArtifactError, match=r"expected odenet or cnf.*got 'own_models:torchdiffeqs'.*entry point"):
        torch_backend(folder / "checkpoints" / "own" / "1")
    shutil.copytree(folder / "checkpoints" / "own" / "1", tmp_path / "own" / "1")
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


@pytest.mark.parametrize(("build", "reason"), [("nothing", "AttributeError"), ("torchdiffeqs", "interval")])
def test_an_installed_package_that_is_another_than_was_packed_is_refused(folder, tmp_path, installed, build, reason):
    shutil.copytree(folder / "checkpoints" / "own" / "1", tmp_path / "own" / "1")
    manifest = tmp_path / "own" / "1" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["architecture"] = {"family": f"own_models:{build}"}
    document["programs"]["predict"]["interval"] = [0.0, 3.0]
    manifest.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=rf"own_models:{build}: .*{reason}"):
        torch_backend(tmp_path / "own" / "1")
