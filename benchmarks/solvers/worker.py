"""A solver in a process and an environment of its own, told what to do line by line.

Run: python -m benchmarks.solvers.worker odeserve|torchdiffeq|torchode|diffrax ARTIFACT

Lines in and out are JSON. {"load": file.npz} takes `inputs` and `reference` and a batch size; {"error": [choice, tol]}
answers with the error over all inputs; {"time": [choice, tol, threads]} with the milliseconds of one pass.
"""

import importlib
import json
import sys
import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Solver(Protocol):
    """`choices` are the ways it can solve; answers are logits or log-densities."""

    choices: tuple[str, ...]

    def solve(self, inputs: Array, choice: str, tol: float) -> Array: ...

    def use_threads(self, count: int) -> None: ...


def largest_error(values: Array, reference: Array) -> float:
    """Root mean square over items of the largest difference in an answer."""
    difference = np.abs(values.astype(np.float64) - reference).reshape(len(values), -1).max(-1)
    return float(np.sqrt(np.mean(np.square(difference))))


def main() -> None:
    """Serve until the input ends."""
    name, artifact = sys.argv[1:]
    solver: Solver = importlib.import_module(f"benchmarks.solvers.with_{name}").open_solver(artifact)
    print(json.dumps(solver.choices), flush=True)
    batches: list[Array] = []
    reference = np.zeros(0)
    for line in sys.stdin:
        ((order, argument),) = json.loads(line).items()
        answer: Any = None
        if order == "load":
            loaded = np.load(argument)
            reference = loaded["reference"]
            batches = np.split(loaded["inputs"], len(loaded["inputs"]) // int(loaded["size"]))
        elif order == "error":
            answers = [solver.solve(batch, *argument) for batch in batches]
            answer = largest_error(np.concatenate(answers), reference)
        elif order == "time":
            choice, tol, threads = argument
            solver.use_threads(threads)
            solver.solve(batches[0], choice, tol)
            begun = time.perf_counter()
            for batch in batches:
                solver.solve(batch, choice, tol)
            answer = 1e3 * (time.perf_counter() - begun)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
