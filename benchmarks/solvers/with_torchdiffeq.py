"""torchdiffeq: one step size for the whole batch. Source: Chen 2018."""

from functools import partial
from pathlib import Path

import torch

from benchmarks.work_precision import Array, rival
from node_model.checkpoint import load_model
from node_model.cnf import CNF
from node_model.odenet import ODENet


class TorchdiffeqSolver:
    """Whole answers: encoder, solve, decoder."""

    choices = ("bosh3", "dopri5")

    def __init__(self, artifact: str) -> None:
        _, model = load_model(Path(artifact))
        assert isinstance(model, ODENet | CNF)
        self._rival = partial(rival, model)

    def use_threads(self, count: int) -> None:
        """Size of PyTorch's team."""
        torch.set_num_threads(count)

    def solve(self, inputs: Array, choice: str, tol: float) -> Array:
        """Shapes: inputs [lane, ...] -> [lane, ...]."""
        return self._rival(inputs, tol, choice)


def open_solver(artifact: str) -> TorchdiffeqSolver:
    """A solver with an artifact's weights."""
    return TorchdiffeqSolver(artifact)
