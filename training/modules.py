"""A program's modules, run over many inputs as the PyTorch backend runs them: measured where there are no graphs."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from node_model.manifest import ProgramSpec
from node_model.program import Program
from node_model.solvers import solve_ivp
from node_model.solvers.solve import Solution
from training.graphs import Array, Feed, GraphSolution


class ModuleProgram:
    """The modules of one program in the state's precision, `width` rows side by side. As GraphProgram."""

    def __init__(self, spec: ProgramSpec, program: Program, width: int = 8) -> None:
        self.spec = spec
        self._program = program
        self._width = width

    @torch.no_grad()
    def encode(self, inputs: Array) -> Array:
        """Shapes: [row, *input.shape] -> y0 [row, dim]."""
        return np.concatenate([self._program.encode(part).numpy() for (part,) in self._parts(inputs)])

    @torch.no_grad()
    def decode(self, y: Array) -> list[Array]:
        """Shapes: [row, dim] -> one array per output, [row, *output.shape]."""
        pieces = [self._program.decode(part) for (part,) in self._parts(y)]
        return [np.concatenate([piece.numpy() for piece in output]) for output in zip(*pieces, strict=True)]

    @torch.no_grad()
    def solve(self, y0: Array, args: Feed, *, method: str, tol: float, dt: float, max_nfe: int) -> GraphSolution:
        """Solve every row at rtol = atol = tol. Shapes: y0 [row, dim]; args [row, ...]."""
        solved = self._solved(y0, args, method=method, tol=tol, dt=dt, max_nfe=max_nfe)

        def column(of: Callable[[Solution], Tensor]) -> Array:
            return np.concatenate([of(one).numpy() for one in solved])

        return GraphSolution(
            y=column(lambda one: one.ys[-1]),
            status=column(lambda one: one.status),
            nfe=column(lambda one: one.nfe),
            error_estimate=column(lambda one: one.error_estimate),
        )

    @torch.no_grad()
    def first_accepted(self, y0: Array, args: Feed, *, method: str, tol: float, dt: float) -> Array:
        """Whether each row accepts a first attempt with this dt. Shapes: y0 [row, dim]; args [row, ...] -> [row]."""
        cost = self.spec.methods[method]
        # A budget for one attempt and no more.
        solved = self._solved(y0, args, method=method, tol=tol, dt=dt, max_nfe=cost.nfe_start + cost.nfe_attempt)
        return np.concatenate([(one.steps_accepted > 0).numpy() for one in solved])

    def _solved(self, y0: Array, args: Feed, *, method: str, tol: float, dt: float, max_nfe: int) -> list[Solution]:
        program = self._program
        start, end = program.interval
        return [
            solve_ivp(
                program.field,
                y,
                start,
                [end],
                rtol=tol,
                atol=tol,
                method=method,
                parts=program.parts,
                args=tuple(given),
                max_nfe=max_nfe,
                dt0=dt,
            )
            for y, *given in self._parts(y0, *args.values())
        ]

    def _parts(self, *arrays: Array) -> Iterator[tuple[Tensor, ...]]:
        """Consecutive slices of `width` rows, of each array."""
        for start in range(0, len(arrays[0]), self._width):
            yield tuple(torch.from_numpy(array[start : start + self._width]) for array in arrays)
