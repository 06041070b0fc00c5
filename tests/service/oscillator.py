"""A program of a user's own, with a closed form: the damped oscillator x'' = -stiffness x - 2 damping x'."""

import numpy as np
import torch
from torch import nn

from node_model.manifest import TensorSpec
from node_model.program import Program

INTERVAL = (0.0, 2.0)
DAMPING = 0.3
"""Of oscillators that are not told theirs."""
SHAKE = 0.1
"""Of a drawn damping what counts."""


def closed_form(state, damping, stiffness, t):
    """Shapes: state [..., 2], damping [...] -> [..., 2]."""
    x0, v0 = state[..., 0], state[..., 1]
    omega = np.sqrt(stiffness - damping**2)
    slope = (v0 + damping * x0) / omega
    fade, c, s = np.exp(-damping * t), np.cos(omega * t), np.sin(omega * t)
    x = fade * (x0 * c + slope * s)
    return np.stack([x, -damping * x + fade * omega * (slope * c - x0 * s)], -1)


class Oscillator(nn.Module):
    """`damped`: each item brings its own damping, and the answer has the energy beside the state.

    `shaken`: the server draws the damping of each.
    """

    def __init__(self, config):
        super().__init__()
        self.config = dict(config)
        self.damped = config.get("damped", False)
        self.shaken = config.get("shaken", False)
        self.stiffness = nn.Parameter(torch.tensor(config["stiffness"]))

    def programs(self):
        dtype = str(self.stiffness.dtype).removeprefix("torch.")
        spec = {"state": TensorSpec(name="state", shape=(2,), dtype=dtype)}
        damping = TensorSpec(name="damping", shape=(), dtype=dtype, range=(0.0, 1.0))
        if self.shaken:
            damping = TensorSpec(name="damping", shape=(), dtype=dtype, draw="standard_normal")
        energy = TensorSpec(name="energy", shape=(), dtype=dtype)
        return (
            Program(
                name="predict",
                encode=nn.Identity(),
                field=_Field(self),
                decode=_Decode(self),
                interval=INTERVAL,
                part_sizes={"position": 1, "velocity": 1},
                input=spec["state"],
                outputs=(spec["state"], energy) if self.damped else (spec["state"],),
                args=(damping,) if self.damped or self.shaken else (),
            ),
        )


class _Field(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, t, y, args):
        x, v = y[:, :1], y[:, 1:]
        damping = args[0][:, None] if args else v.new_tensor(DAMPING)
        if self.model.shaken:
            damping = SHAKE * damping
        return torch.cat([v, -self.model.stiffness * x - 2 * damping * v], 1)


class _Decode(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, y):
        state = y + 0 * y
        if not self.model.damped:
            return (state,)
        return state, 0.5 * (y[:, 1].square() + self.model.stiffness * y[:, 0].square())
