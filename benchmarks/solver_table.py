"""Solvers at equal true error, the same weights: milliseconds a batch, beside torchdiffeq, torchode and diffrax.

Question: whoever may choose method and tolerance freely, as long as the answers are no further from a float64 reference
than those of torchdiffeq's dopri5 at tol 1e-2, how long does a batch take?

Each solver's loosest tolerance that is exact enough is sought for each of its methods; the fastest of those takes
turns with the others, and medians are compared. Encoder and decoder are included everywhere.

Run: python -m benchmarks.solver_table
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import described, training_paused
from benchmarks.servers import RIVALS, ROOT
from benchmarks.solvers.worker import largest_error
from benchmarks.work_precision import CHECKPOINTS, LEAST_ITEMS, OUT, RIVAL_TOL, SHARDS, draw, rival
from node_model.checkpoint import load_model

CASES = (("odenet-mnist", "classify", (1, 8, 64, 256)), ("cnf-two-moons", "log_density", (1, 1_000, 10_000)))
SOLVERS = ("odeserve", "torchdiffeq", "torchode", "diffrax")
IN_OWN_ENVIRONMENT = ("torchode", "diffrax")
TOLERANCES = tuple(float(f"{tol:.2g}") for tol in np.geomspace(1e-1, 1e-5, 21))
ROUNDS = 7


class Worker:
    """A solver in a process of its own; see solvers/worker.py."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.choices: list[str] = self._read()

    def ask(self, order: str, argument: object) -> Any:
        """Errors: SystemExit when the process is gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({order: argument}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a solver ended: {self._process.args}")
        return json.loads(line)


@contextmanager
def worker(name: str, artifact: Path) -> Iterator[Worker]:
    """A solver, started."""
    python = str(RIVALS) if name in IN_OWN_ENVIRONMENT else sys.executable
    command = [python, "-m", "benchmarks.solvers.worker", name, str(artifact)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()


def loosest(solver: Worker, choice: str, limit: float) -> float | None:
    """The loosest tolerance whose error is at most `limit`."""
    return next((tol for tol in TOLERANCES if solver.ask("error", [choice, tol]) <= limit), None)


def fastest(solver: Worker, limit: float) -> tuple[str, float, int]:
    """The fastest choice, tolerance and number of threads that is exact enough."""
    timed = []
    for choice in solver.choices:
        tol = loosest(solver, choice, limit)
        for threads in (1, SHARDS):
            if tol is not None:
                timed.append((solver.ask("time", [choice, tol, threads]), (choice, tol, threads)))
    if not timed:
        raise SystemExit("a solver reaches the error at no tolerance")
    return min(timed)[1]


def measure(name: str, size: int, names: tuple[str, ...]) -> dict[str, Any]:
    """One row: a batch of `size` items by every solver."""
    artifact = CHECKPOINTS / name / "1"
    _, model = load_model(artifact)
    _, exact = load_model(artifact)
    exact.double()
    inputs = draw(model, max(size, LEAST_ITEMS))
    parts = np.array_split(inputs.astype(np.float64), -(-len(inputs) // 1_000))
    reference = np.concatenate([rival(exact, part, 1e-8) for part in parts])
    theirs = np.concatenate([rival(model, batch, RIVAL_TOL) for batch in np.split(inputs, len(inputs) // size)])
    limit = largest_error(theirs, reference)
    row: dict[str, Any] = {"model": name, "batch": size, "error": limit, "solvers": {}}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {solver: stack.enter_context(worker(solver, artifact)) for solver in names}
        file = str(Path(folder) / "inputs.npz")
        np.savez(file, inputs=inputs, reference=reference, size=size)
        chosen = {}
        for solver, process in workers.items():
            process.ask("load", file)
            chosen[solver] = fastest(process, limit)
        times: dict[str, list[float]] = {solver: [] for solver in workers}
        for _ in range(ROUNDS):
            for solver, process in workers.items():
                times[solver].append(process.ask("time", chosen[solver]) * size / len(inputs))
    for solver, (choice, tol, threads) in chosen.items():
        milliseconds = round(statistics.median(times[solver]), 3)
        row["solvers"][solver] = {"ms": milliseconds, "choice": choice, "tol": tol, "threads": threads}
    print(row, flush=True)
    return row


def main() -> None:
    """Write docs/benchmarks/solvers.{md,json}."""
    missing = [name for name in IN_OWN_ENVIRONMENT if not _installed(name)]
    names = tuple(name for name in SOLVERS if name not in missing)
    with training_paused():
        rows = [measure(name, size, names) for name, _, sizes in CASES for size in sizes]
    recorded = {**described("onnxruntime", "torch", "torchdiffeq"), "rows": rows, "missing": missing}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "solvers.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (OUT / "solvers.md").write_text(markdown(recorded, names))


def _installed(name: str) -> bool:
    """Whether the rivals' environment has it."""
    return (
        RIVALS.exists()
        and subprocess.run([RIVALS, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0
    )


def markdown(recorded: dict[str, Any], names: tuple[str, ...]) -> str:
    """The table."""
    lines = [
        "# Solvers at equal true error",
        "",
        "Milliseconds a batch, encoder and decoder included, the same weights. The error allowed is that of",
        "torchdiffeq's dopri5 at tol 1e-2 (RMS over items against float64 at 1e-8); method, tolerance and threads are",
        "each solver's to choose. In brackets: its choice, and how many times slower than odeserve. Small batches are",
        f"solved one after another; medians of {ROUNDS} rounds in which all take turns.",
        "",
        "| model | batch | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for row in recorded["rows"]:
        own = row["solvers"]["odeserve"]["ms"]
        cells = [
            f"{found['ms']:.2f} ({found['choice']} {found['tol']:g}; {found['ms'] / own:.1f})"
            for found in (row["solvers"][name] for name in names)
        ]
        lines.append(f"| {row['model']} | {row['batch']} | {' | '.join(cells)} |")
    notes = [f"Not installed, left out: {', '.join(recorded['missing'])}.", ""] if recorded["missing"] else []
    footer = f"{recorded['machine']}; {recorded['versions']}; {recorded['date']}. Made by `make bench`."
    return "\n".join([*lines, "", *notes, footer, ""])


if __name__ == "__main__":
    main()
