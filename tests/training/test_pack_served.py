"""Packed models, served: their answers beside those of other solvers."""

import numpy as np
import own_models
import pytest
import torch
from scipy.integrate import solve_ivp as scipy_solve
from starlette.testclient import TestClient
from torchdiffeq import odeint

from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def client(own_folder):
    with TestClient(create_app(Settings(models_dir=own_folder / "checkpoints", shards=1))) as client:
        while client.get("/health/ready").status_code != 200:
            pass
        yield client


def test_the_served_model_gives_what_scipy_gives(client, own_folder):
    """The field that was written for torchdiffeq, solved by somebody else's solver with its plain t."""
    points = np.load(own_folder / "points.npy")[:3]
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


def test_the_trade_off_that_is_served_is_the_one_that_was_measured(client, own_folder):
    rows = client.get("/models/damped/tradeoff").json()["rows"]
    assert [(row["method"], row["tol"]) for row in rows] == [("dopri5", tol) for tol in (1e-1, 1e-3, 1e-6, 1e-9, 1e-12)]
    costs, errors = ([row[name] for row in rows] for name in ("nfe_mean", "error_p99"))
    assert costs == sorted(costs)
    assert costs[-1] > 5 * costs[0]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e6 * errors[-1] > 0
    assert 0 < rows[0]["predicted_ms"] < rows[-1]["predicted_ms"]
    example = np.load(own_folder / "damped.npz")
    body = {"inputs": example["state"].tolist(), "args": {"damping": example["damping"].tolist()}}

    def answers(tol):
        predictions = client.post(f"/predict?model=damped&tol={tol:g}", json=body).json()["predictions"]
        return np.array([item["output"]["state"] for item in predictions]), [
            item["solver"]["nfe"] for item in predictions
        ]

    exact, _ = answers(1e-12)
    for row in rows[:3]:
        found, nfe = answers(row["tol"])
        error = np.sqrt(np.square(found - exact).mean(1))
        assert np.mean(nfe) == pytest.approx(row["nfe_mean"], rel=1e-4)
        assert np.percentile(error, 99) == pytest.approx(row["error_p99"], rel=0.05)


def test_a_classifier_of_ones_own_answers_what_torchdiffeq_gives(client, own_folder):
    images = np.load(own_folder / "images.npy")[:5]
    maps = own_models.classifier().wanted["classify"]
    with torch.no_grad():
        y0 = maps.encode(torch.from_numpy(images.astype(np.float32)))
        ends = odeint(lambda t, y: maps.field(t.expand(len(y)), y, ()), y0, torch.tensor([0.0, 1.0]), rtol=1e-6)
        expected = maps.decode(ends[-1]).softmax(1).numpy()
    answer = client.post("/classify?model=shapes&tol=1e-6", json={"images": images.tolist()}).json()
    for prediction, probabilities in zip(answer["predictions"], expected, strict=True):
        np.testing.assert_allclose(prediction["probabilities"], probabilities, atol=1e-5)
        assert prediction["label"] == "abc"[probabilities.argmax()]
