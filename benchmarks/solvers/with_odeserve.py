"""Ours, as the service runs it: graphs in ONNX Runtime, on two shards or in the caller's thread, whole answers."""

import asyncio
from pathlib import Path

from benchmarks.work_precision import LONGEST_SECONDS, SHARDS, Array, Ours
from service.engine.engine import solve_alone
from service.engine.runner import Runner
from service.models import load_model
from service.settings import Settings

MAIN = {"classify": "classify", "density": "log_density"}
"""The program that a task is asked for."""


class OdeserveSolver:
    """Whole answers through the engine."""

    def __init__(self, artifact: str) -> None:
        model = load_model(Path(artifact), Settings())
        self._program = model.programs[MAIN[model.manifest.task]]
        self.choices = tuple(self._program.spec.methods)
        self._loop = asyncio.new_event_loop()
        self._runner = Runner(SHARDS, queue_seconds=LONGEST_SECONDS, report=lambda report: None)
        self._runner.add_model([self._program])
        self._loop.call_soon(self._runner.start)

        self._alone = False

    def use_threads(self, count: int) -> None:
        """One: in the caller's thread, without a queue. More: on two shards."""
        self._alone = count == 1

    def solve(self, inputs: Array, choice: str, tol: float) -> Array:
        """Shapes: inputs [lane, ...] -> [lane, ...]."""
        ours = Ours(self._loop, self._runner, self._program, choice, tol)
        return solve_alone(ours.problem(inputs)).outputs[0] if self._alone else ours.solve(inputs)[0]


def open_solver(artifact: str) -> OdeserveSolver:
    """A solver with an artifact's graphs."""
    return OdeserveSolver(artifact)
