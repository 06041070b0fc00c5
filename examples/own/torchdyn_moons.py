"""A classifier of torchdyn's, packed and served: weights in, the same logits out.

Run in a folder of its own, with `pip install torchdyn`:

    python torchdyn_moons.py train      torchdyn_moons.pt, points.npz
    odetrain pack torchdyn_moons:build --name torchdyn-moons --example points.npz --out models
    ODESERVE_MODELS_DIR=models ODESERVE_MODELS=torchdyn-moons odeserve serve
    python torchdyn_moons.py compare    in a second terminal: the server beside torchdyn

`build` needs the weights alone, not torchdyn.
"""

import json
import sys
import urllib.request

import numpy as np
import torch
from torch import nn

from node_model.own import OwnModel, OwnProgram

PREFIX = "0.vf.vf.vf."
"""In front of the names of a field's weights: NeuralODE wraps it twice, and is layer 0 of the classifier here."""


class Field(nn.Module):
    """The layers that torchdyn was given; DepthCat(1), its layer 0, is the torch.cat here."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Identity(), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, t, y, args):
        return self.layers(torch.cat([y, t[:, None]], 1))


def build():
    """What `odetrain pack` calls."""
    weights = torch.load("torchdyn_moons.pt", weights_only=True)
    field, head = Field(), nn.Linear(2, 2)
    field.layers.load_state_dict(
        {name.removeprefix(PREFIX): tensor for name, tensor in weights.items() if name.startswith(PREFIX)}
    )
    head.load_state_dict({name: weights[f"1.{name}"] for name in ("weight", "bias")})
    program = OwnProgram(
        nn.Identity(), field, head, interval=(0.0, 1.0), name="classify", input="point", outputs=("logits",)
    )
    return OwnModel("classify", program, labels=("upper", "lower"), description="two moons told apart").double()


def classifier(tol):
    """As torchdyn's users write it."""
    from torchdyn.core import NeuralODE
    from torchdyn.nn import DepthCat

    layers = nn.Sequential(DepthCat(1), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
    solver = NeuralODE(layers, solver="dopri5", rtol=tol, atol=tol, return_t_eval=False)
    return nn.Sequential(solver, nn.Linear(2, 2))


def logits(model, points):
    """At the end of the interval: torchdyn gives both ends."""
    solver, head = model
    return head(solver(points, torch.tensor([0.0, 1.0], dtype=points.dtype))[-1])


def moons(count):
    """Points of two half circles, and of which each is."""
    angle, side = torch.rand(count) * torch.pi, torch.randint(2, (count,))
    x = torch.where(side == 0, angle.cos(), 1 - angle.cos())
    y = torch.where(side == 0, angle.sin(), 0.5 - angle.sin())
    return torch.stack([x, y], 1) + 0.1 * torch.randn(count, 2), side


def train(steps=150):
    """By torchdyn alone."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = classifier(1e-3)
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    for step in range(int(steps)):
        points, sides = moons(256)
        loss = nn.functional.cross_entropy(logits(model, points), sides)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0 or step == int(steps) - 1:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    torch.save(model.state_dict(), "torchdyn_moons.pt")
    points, sides = moons(300)
    np.savez("points.npz", point=points.numpy(), labels=sides.numpy())
    print("torchdyn_moons.pt, points.npz: written")


def compare(url="http://127.0.0.1:8000"):
    """Ask the server and torchdyn for the same probabilities."""
    points = np.load("points.npz")["point"][:50].astype(float)
    model = classifier(1e-10)
    model.load_state_dict(torch.load("torchdyn_moons.pt", weights_only=True))
    with torch.no_grad():
        expected = logits(model.double(), torch.from_numpy(points)).softmax(1).numpy()
    for tol in ("1e-3", "1e-6", "1e-9"):
        body = json.dumps({"images": points.tolist()}).encode()
        request = urllib.request.Request(
            f"{url}/classify?model=torchdyn-moons&tol={tol}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            predictions = json.load(answer)["predictions"]
        nfe = np.mean([prediction["solver"]["nfe"] for prediction in predictions])
        off = np.abs(np.array([prediction["probabilities"] for prediction in predictions]) - expected).max()
        print(f"tol {tol}: {nfe:.0f} evaluations, probabilities at most {off:.1e} from torchdyn's")


if __name__ == "__main__":
    {"train": train, "compare": compare}[sys.argv[1]](*sys.argv[2:])
