"""A continuous normalizing flow of zuko's, packed and served: weights in, the same log-densities out.

Run in a folder of its own, with `pip install zuko`:

    python zuko_flow.py train       a flow over two moons: zuko_flow.pt, points.npy
    odetrain pack zuko_flow:build --name moons --example points.npy --out models
    ODESERVE_MODELS_DIR=models ODESERVE_MODELS=moons odeserve serve
    python zuko_flow.py compare     in a second terminal: the server beside zuko
"""

import json
import sys
import urllib.request

import numpy as np
import torch
from torch import nn

from node_model.cnf import standard_normal_log_density
from node_model.own import OwnModel, OwnProgram
from node_model.sequential_trace import with_trace

DIM = 2


def flow():
    """A flow as zuko makes it. Without context: a density that is served has none."""
    import zuko

    return zuko.flows.CNF(DIM, hidden_features=(32, 32), rtol=1e-3, atol=1e-3)


class Network(nn.Module):
    """The network of a zuko flow, with its embedding of time."""

    def __init__(self, transform):
        super().__init__()
        self.ode = transform.ode
        self.register_buffer("freqs", transform.freqs)

    def inputs(self, t, x):
        """What the layers see. Shapes: t [lane], x [lane, dim] -> [lane, dim + 2 freqs]."""
        angles = t[:, None] * self.freqs
        return torch.cat([angles.cos(), angles.sin(), x], 1)


class Augmented(nn.Module):
    """The state is the point and its log-det so far."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, t, y, args):
        inputs = self.network.inputs(t, y[:, :DIM])
        # The tangents of x, which stands behind the embedding of time.
        first = inputs.shape[1] - DIM
        f, trace = with_trace(self.network.ode, inputs, DIM, first=first)
        return torch.cat([f, trace[:, None]], 1)


class Plain(nn.Module):
    """The point alone: a sample needs no log-det."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, t, y, args):
        return self.network.ode(self.network.inputs(t, y))


class WithLogDet(nn.Module):
    """The point, and a log-det of 0."""

    def forward(self, x):
        return torch.cat([x, torch.zeros_like(x[:, :1])], 1)


class LogDensity(nn.Module):
    """Of the standard normal at the end, and the log-det on the way; in float64, for points far away."""

    def forward(self, y):
        wide = y.double()
        return standard_normal_log_density(wide[:, :DIM]) + wide[:, DIM]


def build():
    """What `odetrain pack` calls. zuko goes from the data at t = 0 to the normal at t = 1; samples go back."""
    trained = flow()
    trained.load_state_dict(torch.load("zuko_flow.pt", weights_only=True))
    network = Network(trained.transform)
    density = OwnProgram(
        WithLogDet(),
        Augmented(network),
        LogDensity(),
        interval=(0.0, 1.0),
        name="log_density",
        input="point",
        outputs=("log_density",),
        parts={"x": DIM, "log_det": 1},
    )
    sample = OwnProgram(
        nn.Identity(),
        Plain(network),
        nn.Identity(),
        interval=(1.0, 0.0),
        name="sample",
        input="base",
        outputs=("sample",),
        parts={"x": DIM},
        draw="standard_normal",
        drawn_shape=(DIM,),
    )
    return OwnModel("density", density, sample, description="two moons, learned by zuko").double()


def moons(count):
    """Points of two half circles, with noise."""
    angle, side = torch.rand(count) * torch.pi, torch.randint(2, (count,))
    x = torch.where(side == 0, angle.cos(), 1 - angle.cos())
    y = torch.where(side == 0, angle.sin(), 0.5 - angle.sin())
    return torch.stack([x - 0.5, y - 0.25], 1) + 0.08 * torch.randn(count, 2)


def train(steps=60):
    """Maximise the log-likelihood, by zuko alone."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trained = flow()
    optimiser = torch.optim.Adam(trained.parameters(), 1e-2)
    for step in range(int(steps)):
        loss = -trained().log_prob(moons(128)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0 or step == int(steps) - 1:
            print(f"step {step}: {loss.item():.3f} nats", flush=True)
    torch.save(trained.state_dict(), "zuko_flow.pt")
    np.save("points.npy", moons(300).numpy())
    print("zuko_flow.pt, points.npy: written")


def compare(url="http://127.0.0.1:8000"):
    """Ask the server and zuko for the same log-densities."""
    points = np.load("points.npy")[:50].astype(float)
    trained = flow()
    trained.load_state_dict(torch.load("zuko_flow.pt", weights_only=True))
    trained.double()
    trained.transform.rtol = trained.transform.atol = 1e-10
    with torch.no_grad():
        expected = trained().log_prob(torch.from_numpy(points)).numpy()
    for tol in ("1e-3", "1e-6", "1e-9"):
        body = json.dumps({"points": points.tolist()}).encode()
        request = urllib.request.Request(
            f"{url}/density?model=moons&tol={tol}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            predictions = json.load(answer)["predictions"]
        nfe = np.mean([prediction["solver"]["nfe"] for prediction in predictions])
        off = np.abs([prediction["log_density"] for prediction in predictions] - expected).max()
        print(f"tol {tol}: {nfe:.0f} evaluations, at most {off:.1e} from zuko's answers")


if __name__ == "__main__":
    {"train": train, "compare": compare}[sys.argv[1]](*sys.argv[2:])
