"""What a trained density is measured on: test points, the density on a grid, and points along the flow's time."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from node_model.adjoint import odeint
from training.data import generator
from training.planar import PlanarFlow
from training.records import rounded
from training.solves import Counted, EvaluationCount
from training.tasks import DensityTask
from training.toy_densities import TOY_DENSITIES, ToyDensity

METHOD, TOL = "dopri5", 1e-5
BATCH = 1_000
GRID_SIDE = 64
PATH_POINTS, PATH_TIMES = 600, (0.0, 0.25, 0.5, 0.75, 1.0)


def study_density(task: DensityTask) -> dict[str, Any]:
    """Every figure of trained weights, for their record; densities in nats of the input's and of standardised units."""
    config = task.config
    solved = _Solved(task)
    metrics: dict[str, Any] = {
        "family": config.family,
        "data": config.data,
        "epochs": config.epochs,
        "parameters": sum(p.numel() for p in task.model.parameters()),
    }
    if config.family == "planar":
        metrics["layers"] = config.layers
    else:
        metrics |= {"hidden": config.hidden, "warp": config.warp, "objective": config.objective}
    toy = TOY_DENSITIES.get(config.data)
    metrics["test"] = solved.test(toy)
    if toy is not None:
        metrics["entropy"] = rounded(toy.entropy())
        metrics["grid"] = {"reach": toy.reach, "density": solved.grid(toy.reach)}
        metrics["path"] = solved.path()
    return metrics


def standardised(epoch: dict[str, float], std: Sequence[float]) -> dict[str, float]:
    """An epoch of the log with its held-out score in standardised units too."""
    return epoch | {"held_nll_standardised": rounded(epoch["held_nll"] - sum(map(math.log, std)))}


class _Solved:
    """A flow's densities and paths at a tight tolerance, with the exact trace."""

    def __init__(self, task: DensityTask) -> None:
        self._task = task
        self._count = EvaluationCount()

    def test(self, toy: ToyDensity | None) -> dict[str, float | int]:
        """Mean log-density of the test points, with its standard error, and evaluations a solve.

        Of a toy also `gap`: how far the model's log-density is below the true one, point by point, whose standard error
        is many times smaller than that of either mean.
        """
        points = self._task.data.test
        values = self._log_prob(points)
        mean, error = _mean(values)
        found: dict[str, float | int] = {
            "items": len(points),
            "log_density": rounded(mean),
            "standard_error": rounded(error, 3),
            "log_density_standardised": rounded(mean + sum(map(math.log, self._task.data.std))),
            "nfe": rounded(self._count.take() / -(-len(points) // BATCH)),
        }
        if toy is not None:
            gap, error = _mean(toy.log_density(points) - values)
            found |= {"gap": rounded(gap), "gap_standard_error": rounded(error, 3)}
        return found

    def grid(self, reach: float) -> list[list[float]]:
        """The density at the midpoints of a square of cells, [row from below][column]."""
        axis = (np.arange(GRID_SIDE) + 0.5) * (2 * reach / GRID_SIDE) - reach
        points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        density = np.exp(self._log_prob(points)).reshape(GRID_SIDE, GRID_SIDE)
        return [[rounded(float(value), 3) for value in row] for row in density]

    def path(self) -> list[dict[str, Any]]:
        """Samples on their way from the base to the density; of a planar flow, which has no time, the samples."""
        base = generator(self._task.config.seed, 10).standard_normal((PATH_POINTS, self._task.model.config.dim))
        draws = torch.from_numpy(base.astype(np.float32))
        with torch.no_grad():
            if isinstance(self._task.model, PlanarFlow):
                return [_points(1.0, self._task.model.sample(draws))]
            times = torch.tensor(PATH_TIMES, dtype=torch.float64)
            states = self._task.model.path(draws, self._integrate, times)
        return [_points(t, state) for t, state in zip(PATH_TIMES, states, strict=True)]

    def _log_prob(self, points: Any) -> Any:
        parts = torch.from_numpy(points).to(torch.float32).split(BATCH)
        with torch.no_grad():
            if isinstance(self._task.model, PlanarFlow):
                return torch.cat([self._task.model.log_prob(part) for part in parts]).double().numpy()
            return torch.cat([self._task.model.log_prob(part, self._integrate) for part in parts]).double().numpy()

    def _integrate(self, func: nn.Module, y0: Any, times: Tensor) -> Any:
        return odeint(Counted(func, self._count), y0, times, rtol=TOL, atol=TOL, method=METHOD)


def _mean(values: Any) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


def _points(t: float, state: Tensor) -> dict[str, Any]:
    return {"t": t, "points": np.round(state.numpy().astype(float), 3).tolist()}
