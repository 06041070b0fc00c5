"""The solves that training differentiates: around the solver or through it, plain or with a penalty on their cost."""

from typing import Any

import torch
from torch import Tensor, nn

from node_model.adjoint import odeint, odeint_adjoint
from node_model.errors import SolveFailedError
from node_model.solvers import solve_ivp
from node_model.status import Status
from node_model.types import Args
from training.config import RunConfig
from training.data import generator

STEER_REACH = 0.5
"""Half the width of the interval that STEER draws the end time from. Source: Ghosh et al. 2020 (STEER)."""


class EvaluationCount:
    """Counts the field evaluations of whatever is integrated through it, forward and backward."""

    def __init__(self) -> None:
        self._calls = 0

    def add(self) -> None:
        """One evaluation more."""
        self._calls += 1

    def take(self) -> int:
        """Evaluations since the last take."""
        calls, self._calls = self._calls, 0
        return calls


class Counted(nn.Module):
    """A function of (t, y) whose calls are counted."""

    def __init__(self, func: nn.Module, count: EvaluationCount) -> None:
        super().__init__()
        self.func = func
        self.count = count

    def forward(self, t: Tensor, y: Any) -> Any:
        """func(t, y)."""
        self.count.add()
        return self.func(t, y)


class Autocast(nn.Module):
    """A field whose network computes in bfloat16, in the backward solve as well; its value has the state's type."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """func(t, y)."""
        # No cache: a cast made without gradients in the forward solve would be taken for one with them.
        with torch.autocast(y.device.type, torch.bfloat16, cache_enabled=False):
            f: Tensor = self.func(t, y)
        return f.to(y.dtype)


class TrainingSolve:
    """A joint solve at the method and tolerance of one epoch, the same both ways, evaluations counted.

    By the adjoint method, but for `rknet` and `ernode`, whose gradients go through the solver's steps.
    """

    def __init__(self, config: RunConfig, epoch: int, count: EvaluationCount) -> None:
        self._config = config
        self._method, self._tol = config.solver_at(epoch)
        self._count = count
        self._odeint = odeint if config.family == "rknet" else odeint_adjoint

    def __call__(self, func: nn.Module, y0: Any, t: Tensor) -> Any:
        """The states at times t; see node_model.adjoint."""
        counted = Counted(func, self._count)
        return self._odeint(counted, y0, t, rtol=self._tol, atol=self._tol, method=self._method)

    def penalised(self, func: nn.Module, y0: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The state at the end of the interval and what the config's regulariser adds to the loss.

        Shapes: y0 [lane, ...] -> [lane, ...], scalar.
        Source: kinetic: Finlay et al. 2020 (RNODE), here the mean over components in place of the sum; steer: Ghosh et
            al. 2020; ernode: Pal et al. 2021, "Opening the blackbox", here the joint solve's own estimate.
        """
        kind, weight = self._config.regularize, self._config.regularize_weight
        end = 1.0
        if kind == "steer":
            end += STEER_REACH * float(generator(self._config.seed, 8, step).uniform(-1, 1))
        times = torch.tensor([0.0, end], dtype=torch.float64, device=y0.device)
        if kind == "kinetic":
            ys, energy = self(_WithEnergy(func), (y0, y0.new_zeros(len(y0))), times)
            return ys[-1], weight * energy[-1].mean()
        if kind == "ernode":
            y1, error = self._through_steps(func, y0, times)
            return y1, weight * error
        return self(func, y0, times)[-1], y0.new_zeros(())

    def _through_steps(self, func: nn.Module, y0: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """The state at the end, and the sum over steps of the RMS of the estimated error; both differentiable."""

        def field(t: Tensor, y: Tensor, _: Args) -> Tensor:
            self._count.add()
            f: Tensor = func(t[0], y.reshape(y0.shape))
            return f.reshape(1, -1)

        solution = solve_ivp(
            field,
            y0.reshape(1, -1),
            times[0],
            times[1:],
            rtol=self._tol,
            atol=self._tol,
            method=self._method,
        )
        if int(solution.status[0]) != Status.OK:
            raise SolveFailedError(f"the solve ended {Status(int(solution.status[0])).label}")
        return solution.ys[-1].reshape(y0.shape), solution.error_estimate[0].to(y0.dtype)


class _WithEnergy(nn.Module):
    """A field beside the mean square of its components, whose integral is the kinetic energy of the path."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        f = self.func(t, state[0])
        return f, f.flatten(1).square().mean(1)
