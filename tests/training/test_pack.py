"""odetrain pack: a model of one's own becomes an artifact that is served, and what cannot become one is refused."""

import json

import numpy as np
import own_models
import pytest
import torch
from scipy.integrate import solve_ivp as scipy_solve
from starlette.testclient import TestClient
from typer.testing import CliRunner

from node_model.manifest import verify
from service.app import create_app
from service.settings import Settings
from training import cli


def packed(words):
    return CliRunner().invoke(cli.app, ["pack", *words.split()])


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
    assert {row["method"] for row in rows} == {"bosh3", "dopri5", "tsit5"}
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
        ("wrong_shape", "field: expected float32 [150, 2] as the state, got float32 [150, 1]"),
        ("not_finite", "field: gives a number that is not finite on the example"),
        ("raises", "field: called with float32 [150], float32 [150, 2] it raises RuntimeError: mat1 and mat2"),
        ("neighbours", "field: item 0 comes out otherwise alone than among others"),
        ("neighbours_in_encode", "encode: item 0 comes out otherwise alone"),
        ("explodes", "of the example ends"),
        ("svd", "operator aten._linalg_svd has no form in ONNX, at"),
        ("control", "decode: what is computed depends on the data (an if, a loop or a shape made of numbers), at"),
        ("narrow", "field in float64: called with float64 [8], float64 [8, 2] it raises RuntimeError"),
        ("three_outputs", "decode: gives 1 outputs; outputs names a, b, c"),
        ("wrong_parts", "parts: expected sizes that sum to 2"),
        ("hyper", "field"),
        ("unwrapped", "wrap it in node_model.torchdiffeq_field.TorchdiffeqField"),
        ("nothing", "expected a node_model.own.OwnModel, got Identity"),
        ("nobody", "own_models has no function nobody"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(folder, monkeypatch, build, words):
    monkeypatch.chdir(folder)
    result = packed(f"own_models:{build} --name bad --example points.npy --threads 1")
    assert result.exit_code == 1
    assert words in " ".join(str(result.exception or result.output).split()), result.output
    assert not (folder / "checkpoints" / "bad").exists() or not list((folder / "checkpoints" / "bad").iterdir())


def test_the_line_of_what_cannot_be_exported_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for build, code in (("svd", "torch.linalg.svdvals"), ("control", "if bool(y.isfinite().all())")):
        said = str(packed(f"own_models:{build} --name bad --example points.npy --threads 1").exception)
        assert "own_models.py:" in said
        assert code in said


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"state": np.zeros((3, 2))}, "expected arrays named state, damping; got state"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros(2)}, "expected as many items in each array"),
        ({"state": np.zeros((3, 2)), "damping": np.full(3, np.nan)}, "damping: holds a number that is not finite"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros((3, 1))}, "damping: expected items of shape []"),
        ({"state": np.array(["x"]), "damping": np.zeros(1)}, "state: expected numbers"),
        (None, "expected an .npy or .npz file"),
    ],
)
def test_examples_that_do_not_fit_are_named(tmp_path, monkeypatch, arrays, words):
    monkeypatch.chdir(tmp_path)
    if arrays is None:
        (tmp_path / "example.npz").write_text("no numbers")
    else:
        np.savez(tmp_path / "example.npz", **arrays)
    result = packed("own_models:damped --name bad --example example.npz")
    assert result.exit_code == 1
    assert words in str(result.exception), result.output


def test_too_few_items_leave_it_uncalibrated_and_say_so(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    result = packed(f"own_models:classifier --name few --example images.npy --out {tmp_path} --threads 1")
    assert result.exit_code == 0, result.output
    assert "not calibrated: 100 items or more are needed" in " ".join(result.output.split())
    assert (
        json.loads((tmp_path / "few" / "1" / "manifest.json").read_text())["programs"]["classify"].get("calibration")
        is None
    )
