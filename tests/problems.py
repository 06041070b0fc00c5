"""Initial value problems with known answers: closed form where there is one, else SciPy's DOP853 at 1e-13."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp as scipy_solve_ivp
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """y' = field(t, y), t [lane], y [lane, dim]; `exact(t)` gives [dim] where a closed form is known."""

    name: str
    field: Callable[..., Tensor]
    y0: tuple[float, ...]
    t0: float
    t1: float
    exact: Callable[[float], tuple[float, ...]] | None = None

    def start(self, lanes: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
        """The initial state in every lane: [lane, dim]."""
        return torch.tensor([self.y0] * lanes, dtype=dtype)

    def one(self, t: Tensor, y: Tensor) -> Tensor:
        """The field without lanes, as torchdiffeq wants it: t scalar, y [dim]."""
        return self.field(t.reshape(1), y[None], ())[0]

    def answer(self, t: float) -> Tensor:
        """The solution at t: [dim]."""
        if self.exact is not None:
            return torch.tensor(self.exact(t), dtype=torch.float64)

        def right_hand_side(time: float, y: np.ndarray) -> np.ndarray:
            return self.one(torch.tensor(time, dtype=torch.float64), torch.from_numpy(y)).numpy()

        solved = scipy_solve_ivp(right_hand_side, (self.t0, t), self.y0, method="DOP853", rtol=1e-13, atol=1e-13)
        assert solved.success, solved.message
        return torch.from_numpy(solved.y[:, -1])


def _decay(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    return -y


def _logistic(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    return y * (1 - y)


def _witch(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    first, second = y.unbind(1)
    return torch.stack([-2 * t * first.square(), first * second], 1)


def _forced(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    return -5 * (y - t.cos()[:, None]) - t.sin()[:, None]


def _lotka_volterra(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    prey, predator = y.unbind(1)
    return torch.stack([1.5 * prey - prey * predator, prey * predator - 3 * predator], 1)


def _van_der_pol(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    x, v = y.unbind(1)
    return torch.stack([v, (1 - x.square()) * v - x], 1)


def stiff(t: Tensor, y: Tensor, _: object = ()) -> Tensor:
    """Decay to cos t, three thousand times faster than cos t moves."""
    return -3000 * (y - t.cos()[:, None])


DECAY = Problem("decay", _decay, (1.0, -0.3), 0, 2, lambda t: (math.exp(-t), -0.3 * math.exp(-t)))
LOGISTIC = Problem("logistic", _logistic, (0.1,), 0, 5, lambda t: (1 / (1 + 9 * math.exp(-t)),))
# Non-autonomous and nonlinear: every order condition counts. The first component is the witch of Agnesi.
WITCH = Problem("witch", _witch, (1.0, 1.0), 0, 1.5, lambda t: (1 / (1 + t * t), math.exp(math.atan(t))))
FORCED = Problem("forced", _forced, (1.0,), 0, 6, lambda t: (math.cos(t),))
LOTKA_VOLTERRA = Problem("lotka_volterra", _lotka_volterra, (1.0, 1.0), 0, 4)
VAN_DER_POL = Problem("van_der_pol", _van_der_pol, (2.0, 0.0), 0, 6)

CLOSED_FORM = (DECAY, LOGISTIC, WITCH, FORCED)
NONLINEAR = (LOTKA_VOLTERRA, VAN_DER_POL)
