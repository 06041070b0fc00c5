"""Models that other libraries trained: trained a little, packed, served, and compared with the library."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchdiffeq import odeint
from typer.testing import CliRunner

from tests.service.apps import serving
from training import cli, measure, pack

OWN = Path(__file__).parents[2] / "examples" / "own"
TORCHDYN = {
    "0.vf.vf.vf.1.weight",
    "0.vf.vf.vf.1.bias",
    "0.vf.vf.vf.3.weight",
    "0.vf.vf.vf.3.bias",
    "1.weight",
    "1.bias",
}
"""What torchdyn 1.0.6 calls the weights of the example's classifier."""
PACKED = (
    ("spiral", "spiral", "points.npy"),
    ("zuko_flow", "moons", "points.npy"),
    ("torchdyn_moons", "torchdyn-moons", "points.npz"),
)


class DepthCat(nn.Module):
    """torchdyn's: t, which is set from outside, behind the state."""

    def forward(self, y):
        return torch.cat([y, self.t * torch.ones_like(y[:, :1])], 1)


class Wrapped(nn.Module):
    def __init__(self, vf):
        super().__init__()
        self.vf = vf


class NeuralODE(nn.Module):
    """For tests torchdyn is too much: this has its names of weights, and its way with t, around torchdiffeq."""

    def __init__(self, layers, tol):
        super().__init__()
        self.vf, self.tol = Wrapped(Wrapped(layers)), tol

    def forward(self, points, span):
        layers = self.vf.vf.vf

        def field(t, y):
            layers[0].t = t
            return layers(y)

        return odeint(field, points, span, rtol=self.tol, atol=self.tol)


def classifier(tol):
    layers = nn.Sequential(DepthCat(), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
    return nn.Sequential(NeuralODE(layers, tol), nn.Linear(2, 2))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which each example has a folder of its own, where it was trained for a few steps."""
    place = tmp_path_factory.mktemp("own-examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(OWN), *sys.path])
        # A few rows of the table will do here.
        patch.setattr(measure, "LADDER", (1e-1, 1e-3, 1e-6, 1e-9))
        patch.setattr(pack, "DEFAULT_METHODS", ("dopri5",))
        for module, name, example in PACKED:
            (place / module).mkdir()
            patch.chdir(place / module)
            loaded = importlib.import_module(module)
            if module == "torchdyn_moons":
                patch.setattr(loaded, "classifier", classifier)
            loaded.train(3)
            words = (
                f"pack {module}:build --name {name} --example {example} --out {place}/models --items 100 --threads 1"
            )
            result = CliRunner().invoke(cli.app, words.split())
            assert result.exit_code == 0, result.exception
        yield place


@pytest.fixture(scope="module")
def url(place):
    with serving(MODELS_DIR=place / "models", LANES=8) as server:
        yield server.url


@pytest.mark.parametrize("module", [module for module, *_ in PACKED])
def test_weights_of_another_library_give_its_own_answers(module, place, url, monkeypatch, capsys):
    monkeypatch.chdir(place / module)
    sys.modules[module].compare(url)
    told = capsys.readouterr().out
    rows = re.findall(r"tol (\S+): (\d+) evaluations, .*?at most (\S+) from", told)
    assert [tol for tol, *_ in rows] == ["1e-3", "1e-6", "1e-9"], told
    assert int(rows[-1][1]) > int(rows[0][1])
    assert float(rows[0][2]) < 1e-1
    assert float(rows[1][2]) < 1e-3
    assert float(rows[2][2]) < 1e-5


def test_the_stand_in_for_torchdyn_has_its_names():
    assert set(classifier(1e-3).state_dict()) == TORCHDYN


def test_samples_of_a_zuko_flow_are_those_of_zukos_own_transform(place, url, monkeypatch):
    import httpx

    monkeypatch.chdir(place / "zuko_flow")
    flow = sys.modules["zuko_flow"].flow().double()
    flow.load_state_dict(torch.load("zuko_flow.pt", weights_only=True))
    flow.transform.rtol = flow.transform.atol = 1e-10
    answer = httpx.post(f"{url}/sample", params={"model": "moons", "tol": 1e-9}, json={"n": 4, "seed": 7}).json()
    points = torch.tensor(answer["samples"], dtype=torch.float64)
    with torch.no_grad():
        base, _ = flow().transform.call_and_ladj(points)
    again = httpx.post(f"{url}/trajectory", params={"model": "moons", "tol": 1e-9}, json={"n": 4, "seed": 7}).json()
    starts = torch.tensor([item["start"]["position"] for item in again["items"]], dtype=torch.float64)
    torch.testing.assert_close(base, starts, rtol=0, atol=1e-6)
