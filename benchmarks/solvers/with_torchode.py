"""torchode: every lane its own steps, in PyTorch. Source: Lienen & Guennemann 2022."""

from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
import torchode
from torch import Tensor

from benchmarks.rivals.weights import ConcatField
from node_model.checkpoint import load_model
from node_model.cnf import CNF, standard_normal_log_density
from node_model.odenet import SIZE, ODENet
from node_model.trace import exact_trace

Array = npt.NDArray[Any]
METHODS = {"dopri5": torchode.Dopri5, "tsit5": torchode.Tsit5, "heun": torchode.Heun}


class TorchodeSolver:
    """Whole answers: encoder, solve, decoder."""

    choices = tuple(METHODS)

    def __init__(self, artifact: str) -> None:
        _, model = load_model(Path(artifact))
        assert isinstance(model, ODENet | CNF)
        self.model = model
        self.field = ConcatLaneField(model) if isinstance(model, ODENet) else None

    def use_threads(self, count: int) -> None:
        """Size of PyTorch's team."""
        torch.set_num_threads(count)

    @torch.no_grad()
    def solve(self, inputs: Array, choice: str, tol: float) -> Array:
        """Shapes: inputs [lane, ...] -> [lane, ...]."""
        batch, model = torch.from_numpy(inputs), self.model
        if isinstance(model, CNF):
            x = (batch - batch.new_tensor(model.config.mean)) / batch.new_tensor(model.config.std)
            y = self._end(self._flow, torch.cat([x, x.new_zeros(len(x), 1)], 1), 1.0, 0.0, choice, tol)
            density = standard_normal_log_density(y[:, :-1]) + y[:, -1] + model.config.log_jacobian
            return density.numpy()
        assert self.field is not None
        features = model.features(batch)
        y = self._end(self.field, features.flatten(1), 0.0, 1.0, choice, tol)
        return model.head(y.reshape(features.shape)).numpy()

    def _flow(self, t: Tensor, y: Tensor) -> Tensor:
        assert isinstance(self.model, CNF)
        f, trace = exact_trace(self.model.field, t.to(y.dtype), y[:, :-1])
        return torch.cat([f, trace[:, None]], 1)

    def _end(self, field: Any, y0: Tensor, start: float, end: float, choice: str, tol: float) -> Tensor:
        term = torchode.ODETerm(field)
        controller = torchode.IntegralController(atol=tol, rtol=tol, term=term)
        adjoint = torchode.AutoDiffAdjoint(METHODS[choice](term=term), controller)
        times = torch.tensor([[start, end]], dtype=y0.dtype).expand(len(y0), 2)
        problem = torchode.InitialValueProblem(y0=y0, t_eval=times)
        y: Tensor = adjoint.solve(problem).ys[:, -1]
        return y


class ConcatLaneField:
    """The ODE-Net's field with a time of its own for each lane."""

    def __init__(self, model: ODENet) -> None:
        self.concat = ConcatField(model)
        self.channels = model.config.channels

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Shapes: t [lane], y [lane, dim] -> [lane, dim]."""
        x = y.reshape(-1, self.channels, SIZE, SIZE)
        return self.concat(t.to(y.dtype)[:, None, None, None], x).flatten(1)


def open_solver(artifact: str) -> TorchodeSolver:
    """A solver with an artifact's weights."""
    return TorchodeSolver(artifact)
