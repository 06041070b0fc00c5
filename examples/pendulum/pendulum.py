"""A pendulum with friction whose law of motion is learned from measurements, for any length of its rod.

The network is the angular acceleration alone: that the angle's derivative is the velocity need not be learned.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from node_model.own import OwnArg, OwnModel, OwnProgram
from node_model.types import Args

GRAVITY, FRICTION = 9.81, 0.3
"""Of the true pendulum. Units: m/s^2, 1/s."""
LENGTHS = (0.5, 2.0)
"""Metres."""
END = 10.0
"""Seconds."""
WEIGHTS = Path("weights.pt")
Array = npt.NDArray[np.float64]


def true_motion(state: Array, length: float, times: Array) -> Array:
    """What the pendulum does, by scipy. Shapes: state [2], times [time] -> [time, 2]. Units: rad, rad/s; s."""

    def derivative(t: float, y: Array) -> Array:
        return np.array([y[1], -GRAVITY / length * np.sin(y[0]) - FRICTION * y[1]])

    solved = solve_ivp(
        derivative, (0.0, float(times[-1])), state, t_eval=times, method="DOP853", rtol=1e-10, atol=1e-10
    )
    return np.asarray(solved.y.T)


def draw(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Initial states [pendulum, 2] and lengths [pendulum]."""
    states = np.stack([rng.uniform(-2.5, 2.5, count), rng.uniform(-3, 3, count)], 1)
    return states, rng.uniform(*LENGTHS, count)


class LearnedPendulum(nn.Module):
    """d(angle, velocity)/dt.

    Shapes: t [pendulum], y [pendulum, 2], length [pendulum] -> [pendulum, 2].
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, t: Tensor, y: Tensor, args: Args) -> Tensor:
        """The derivative of the state."""
        (length,) = args
        angle, velocity = y[:, :1], y[:, 1:]
        seen = torch.cat([angle.sin(), angle.cos(), velocity, 1 / length[:, None]], 1)
        return torch.cat([velocity, 10 * self.net(seen)], 1)


class Readings(nn.Module):
    """Angle and angular velocity. Shapes: [pendulum, 2] -> [pendulum] twice."""

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The state under its names."""
        return y[:, 0], y[:, 1]


def build() -> OwnModel:
    """For `odetrain pack pendulum:build`."""
    field = LearnedPendulum()
    field.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return OwnModel(
        "predict",
        OwnProgram(
            nn.Identity(),
            field,
            Readings(),
            interval=(0.0, END),
            input="state",
            outputs=("angle", "velocity"),
            args=(OwnArg("length", range=LENGTHS),),
            parts={"angle": 1, "velocity": 1},
        ),
        description="pendulum with friction, learned from measurements: state and length of the rod in, motion out",
    )
