"""The examples of models of one's own: trained for a moment, packed, served, asked, and held against other solvers."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torchdiffeq import odeint

from tests.service.apps import serving

ROOT = Path(__file__).parents[2]
ODETRAIN = Path(sys.executable).with_name("odetrain")


def run(folder, *words):
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def trained_and_packed(folder, example, steps):
    """The folder of an example, with what its page makes in it."""
    shutil.copytree(ROOT / "examples" / example, folder, dirs_exist_ok=True)
    said = run(folder, sys.executable, "train.py", "--steps", steps)
    command = said[said.index("next: ") :].split()[1:]
    assert command[:2] == ["odetrain", "pack"]
    packed = run(folder, ODETRAIN, *command[1:], "--items", 100, "--threads", 1)
    assert "graphs agree with the modules" in packed
    return folder


def module_of(folder, name, monkeypatch):
    """A module of an example's folder; its neighbours are found while it is imported."""
    monkeypatch.syspath_prepend(folder)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    return trained_and_packed(tmp_path_factory.mktemp("latent"), "latent_ode", 20)


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory):
    return trained_and_packed(tmp_path_factory.mktemp("pendulum"), "pendulum", 20)


def test_a_latent_ode_foretells_what_torchdiffeq_and_fixed_steps_foretell(latent, monkeypatch):
    model = module_of(latent, "latent_ode", monkeypatch).LatentODE()
    model.load_state_dict(torch.load(latent / "weights.pt", weights_only=True))
    model.double().requires_grad_(False)
    series = np.load(latent / "series.npy")[:5]
    times = [0.3, 1.1, 2.0]
    with serving(MODELS_DIR=latent / "checkpoints", LANES=8) as server:
        answer = httpx.post(
            f"{server.url}/predict?model=spirals&tol=1e-6", json={"inputs": series.tolist(), "t": times}, timeout=30
        ).json()
        said = run(latent, sys.executable, "forecast.py", "--url", server.url)
    served = np.array([[at["place"] for at in prediction["output"]] for prediction in answer["predictions"]])
    grid, z0 = torch.tensor([0.0, *times], dtype=torch.float64), model.encoder(torch.from_numpy(series).double())[0]

    def forecast(**how):
        return model.decoder(odeint(lambda t, z: model.field(t, z, ()), z0, grid, **how)[1:])[0].transpose(0, 1).numpy()

    np.testing.assert_allclose(served, forecast(rtol=1e-10, atol=1e-10), atol=2e-5)
    np.testing.assert_allclose(served, forecast(method="rk4", options={"step_size": 0.01}), atol=2e-5)
    rows = [line.split() for line in said.splitlines() if line.startswith("1e-")]
    assert [row[0] for row in rows] == ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5"]
    assert float(rows[0][1]) < float(rows[-1][1])
    assert (latent / "forecasts.png").stat().st_size > 20_000


def test_rows_that_were_not_observed_say_nothing(latent, monkeypatch):
    """However many rows of zeros stand at the end, what is made of a series depends on the ones before alone."""
    module = module_of(latent, "latent_ode", monkeypatch)
    torch.manual_seed(0)
    encoder = module.Encoder()
    series = torch.from_numpy(np.load(latent / "series.npy")[:8])
    moved = series.clone()
    moved[..., 0] += torch.where(series[..., 3] == 0, 7.0, 0.0)
    torch.testing.assert_close(encoder(moved)[0], encoder(series)[0])


def test_a_learned_pendulum_swings_as_its_law_says(pendulum, monkeypatch):
    module = module_of(pendulum, "pendulum", monkeypatch)
    monkeypatch.chdir(pendulum)
    field = module.build().wanted["predict"].field.double().requires_grad_(False)
    state, length, times = [1.0, -0.5], 0.8, [0.25, 3.0, 10.0]

    def derivative(t, y):
        args = (torch.tensor([length], dtype=torch.float64),)
        return field(torch.tensor([t]), torch.from_numpy(y)[None], args)[0].numpy()

    exact = solve_ivp(derivative, (0, 10), state, t_eval=times, method="DOP853", rtol=1e-10, atol=1e-10).y
    body = {"input": state, "args": {"length": length}, "t": times}
    with serving(MODELS_DIR=pendulum / "checkpoints", LANES=8) as server:
        answer = httpx.post(f"{server.url}/predict?model=pendulum&tol=1e-6", json=body, timeout=30).json()
        outside = httpx.post(f"{server.url}/predict?model=pendulum", json=body | {"args": {"length": 3.0}}, timeout=30)
        said = run(pendulum, sys.executable, "swing.py", "--url", server.url)
    (prediction,) = answer["predictions"]
    np.testing.assert_allclose([at["angle"] for at in prediction["output"]], exact[0], atol=2e-4)
    np.testing.assert_allclose([at["velocity"] for at in prediction["output"]], exact[1], atol=2e-4)
    assert "args.length: expected a number not above 2" in outside.json()["error"]["message"]
    assert len([line for line in said.splitlines() if re.match("[13]e-", line)]) == 6
    assert (pendulum / "swings.png").stat().st_size > 10_000
