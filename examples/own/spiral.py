"""A network written for torchdiffeq, packed and served: weights in, the same answers out.

Run in a folder of its own, with `pip install torchdiffeq`:

    python spiral.py train          a spiral is learned through torchdiffeq: spiral.pt, points.npy
    odetrain pack spiral:build --name spiral --example points.npy --out models
    ODESERVE_MODELS_DIR=models ODESERVE_MODELS=spiral odeserve serve
    python spiral.py compare        in a second terminal: the server beside torchdiffeq
"""

import json
import sys
import urllib.request

import numpy as np
import torch
from torch import nn

from node_model.own import OwnModel, OwnProgram
from node_model.torchdiffeq_field import TorchdiffeqField

TURNS = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
"""The truth that is learned from: y' = TURNS y^3, row by row."""
END = 2.0


class Func(nn.Module):
    """As torchdiffeq calls it: forward(t, y), t being one number for the whole batch."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))

    def forward(self, t, y):
        return self.net(y**3)


def build():
    """What `odetrain pack` calls: the network with its weights, and the problem around it."""
    func = Func()
    func.load_state_dict(torch.load("spiral.pt", weights_only=True))
    program = OwnProgram(nn.Identity(), TorchdiffeqField(func), nn.Identity(), interval=(0.0, END))
    # In float64, so that answers can be as exact as they are compared below; float32 is cheaper and ends at tol 1e-6.
    return OwnModel("predict", program, description="a learned spiral").double()


def train(steps=200):
    """Learn the true spiral from short pieces of it."""
    from torchdiffeq import odeint

    def truth(t, y):
        return y**3 @ TURNS

    torch.manual_seed(0)
    torch.set_num_threads(1)
    func, times = Func(), torch.linspace(0, 0.25, 6)
    optimiser = torch.optim.Adam(func.parameters(), 5e-3)
    with torch.no_grad():
        path = odeint(truth, torch.tensor([[2.0, 0.0]]), torch.linspace(0, 25, 1000), rtol=1e-7, atol=1e-9)[:, 0]
    for step in range(int(steps)):
        starts = path[torch.randint(len(path), (64,))] + 0.1 * torch.randn(64, 2)
        wanted, found = (odeint(field, starts, times, method="rk4") for field in (truth, func))
        loss = (found - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0 or step == int(steps) - 1:
            print(f"step {step}: mean error {loss.item():.4f}", flush=True)
    torch.save(func.state_dict(), "spiral.pt")
    chosen = path[torch.randint(len(path), (300,))] + 0.1 * torch.randn(300, 2)
    np.save("points.npy", chosen.numpy())
    print("spiral.pt, points.npy: written")


def compare(url="http://127.0.0.1:8000"):
    """Ask the server and torchdiffeq for the same paths."""
    from torchdiffeq import odeint

    points, times = np.load("points.npy")[:5].astype(float), [0.5, 1.0, END]
    func = Func()
    func.load_state_dict(torch.load("spiral.pt", weights_only=True))
    func.double()
    with torch.no_grad():
        stops = torch.tensor([0.0, *times], dtype=torch.float64)
        expected = odeint(func, torch.from_numpy(points), stops, rtol=1e-9, atol=1e-9)[1:].transpose(0, 1).numpy()
    for tol in ("1e-3", "1e-6", "1e-9"):
        body = json.dumps({"inputs": points.tolist(), "t": times}).encode()
        request = urllib.request.Request(
            f"{url}/predict?model=spiral&tol={tol}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            predictions = json.load(answer)["predictions"]
        nfe = np.mean([prediction["solver"]["nfe"] for prediction in predictions])
        off = np.abs(np.array([prediction["output"] for prediction in predictions]) - expected).max()
        print(f"tol {tol}: {nfe:.0f} evaluations, at most {off:.1e} from torchdiffeq's answers")


if __name__ == "__main__":
    {"train": train, "compare": compare}[sys.argv[1]](*sys.argv[2:])
