"""An artifact's exported graphs, run over many inputs as the service runs them: what calibration measures."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from node_model.export import CARRIED, STEP_OUTPUTS
from node_model.manifest import Manifest, ProgramSpec, verified_bytes
from node_model.status import Status

Array = npt.NDArray[Any]
Feed = dict[str, Array]
ANY_ERROR = 1e6
"""A tolerance that every finite attempt is within."""


@dataclass(frozen=True)
class GraphSolution:
    """What became of every row. Shapes: y [row, dim]; the rest [row]."""

    y: Array
    status: Array
    nfe: Array
    error_estimate: Array


class GraphProgram:
    """The graphs of one program, one session each, single-threaded; `threads` rows of work run beside each other."""

    def __init__(self, directory: Path, manifest: Manifest, program: str, threads: int = 2, width: int = 8) -> None:
        self.spec: ProgramSpec = manifest.programs[program]
        self._width = width
        self._threads = threads

        def session(file: str) -> Any:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            options.log_severity_level = 4
            # As in the service: weights in further files would escape the hashes.
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", str(directory / file)
            )
            return ort.InferenceSession(
                verified_bytes(directory, manifest, file), options, providers=["CPUExecutionProvider"]
            )

        graphs = manifest.graphs_of(program)
        self._encode, self._start, self._decode = (session(f) for f in (graphs.encode, graphs.start, graphs.decode))
        self._step = {method: session(file) for method, file in graphs.step.items()}

    def encode(self, inputs: Array) -> Array:
        """Shapes: [row, *input.shape] -> y0 [row, dim]."""
        rows = self._spread(len(inputs), lambda part: self._encode.run(None, {self.spec.input.name: inputs[part]})[0])
        return np.concatenate(rows)

    def decode(self, y: Array) -> list[Array]:
        """Shapes: [row, dim] -> one array per output, [row, *output.shape]."""
        parts = self._spread(len(y), lambda part: self._decode.run(None, {"y": y[part]}))
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]

    def derivative(self, y0: Array, args: Feed) -> Array:
        """The field at the start. Shapes: y0 [row, dim]; args [row, ...] -> [row, dim]."""
        return np.concatenate(
            self._spread(len(y0), lambda part: self._begin(y0[part], _take(args, part), 1.0, 1.0, 1)[0]["f"])
        )

    def solve(self, y0: Array, args: Feed, *, method: str, tol: float, dt: float, max_nfe: int) -> GraphSolution:
        """Solve every row at rtol = atol = tol.

        Shapes: y0 [row, dim]; args [row, ...].
        """
        whole = self._spread(
            len(y0), lambda part: self._solve_chunk(y0[part], _take(args, part), method, tol, dt, max_nfe)
        )
        return GraphSolution(*(np.concatenate(column) for column in zip(*whole, strict=True)))

    def first_accepted(self, y0: Array, args: Feed, *, method: str, tol: float, dt: float) -> Array:
        """Whether each row accepts a first attempt with this dt. Shapes: y0 [row, dim]; args [row, ...] -> [row]."""

        return self._attempt(y0, args, method, tol, dt, "accepted")

    def one_step(self, y0: Array, args: Feed, *, method: str, dt: float) -> Array:
        """Where one attempt leads that nothing rejects. Shapes: y0 [row, dim]; args [row, ...] -> [row, dim]."""
        return self._attempt(y0, args, method, ANY_ERROR, dt, "y")

    def _attempt(self, y0: Array, args: Feed, method: str, tol: float, dt: float, told: str) -> Array:
        def attempt(part: slice) -> Array:
            carried, limits, _ = self._begin(y0[part], _take(args, part), tol, dt, max_nfe=10**6)
            return self._advance(method, carried, limits)[told]

        return np.concatenate(self._spread(len(y0), attempt))

    def _spread(self, rows: int, work: Callable[[slice], Any]) -> list[Any]:
        """`work` on consecutive slices of `width` rows, by all threads."""
        slices = [slice(start, start + self._width) for start in range(0, rows, self._width)]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(work, slices))

    def _begin(self, y0: Array, args: Feed, tol: float, dt: float, max_nfe: int) -> tuple[Feed, Feed, Array]:
        """What the first step takes (carried, limits), and the status of each row."""
        count = len(y0)
        t0, t_end = (np.full(count, end, np.float64) for end in self.spec.interval)
        budget = np.full(count, max_nfe, np.int64)
        start = {"y": y0, "t": t0, "t_end": t_end, "max_nfe": budget, **args}
        f, nfe, status = self._start.run(["f", "nfe", "status"], start)
        carried: Feed = {
            "y": y0,
            "f": f,
            "t": t0,
            "dt": np.full(count, dt, np.float64),
            "accepted": np.ones(count, np.bool_),
            "nonfinite": np.zeros(count, np.int64),
            "nfe": nfe,
        }
        limits = {"t_end": t_end, "rtol": np.full(count, tol), "atol": np.full(count, tol), "max_nfe": budget, **args}
        return carried, limits, status

    def _advance(self, method: str, carried: Feed, limits: Feed) -> Feed:
        feed = {f"{name}_in": carried[name] for name in CARRIED} | limits
        return dict(zip(STEP_OUTPUTS, self._step[method].run(list(STEP_OUTPUTS), feed), strict=True))

    def _solve_chunk(
        self, y0: Array, args: Feed, method: str, tol: float, dt: float, max_nfe: int
    ) -> tuple[Array, Array, Array, Array]:
        carried, limits, status = self._begin(y0, args, tol, dt, max_nfe)
        y, nfe, estimate = y0.copy(), carried["nfe"].copy(), np.zeros(len(y0))
        rows = np.flatnonzero(status == Status.RUNNING)
        carried, limits = _take(carried, rows), _take(limits, rows)
        while len(rows):
            out = self._advance(method, carried, limits)
            y[rows], nfe[rows], status[rows] = out["y"], out["nfe"], out["status"]
            estimate[rows] += np.where(out["accepted"], out["err_norm"], 0.0)
            on = np.flatnonzero(out["status"] == Status.RUNNING)
            carried = {name: out[name] for name in CARRIED}
            if len(on) < len(rows):
                rows, carried, limits = rows[on], _take(carried, on), _take(limits, on)
        return y, status, nfe, estimate


def first_line(error: Exception) -> str:
    """What ONNX Runtime says, without the lines that follow."""
    return str(error).partition("\n")[0]


def _take(feed: Feed, rows: Array | slice) -> Feed:
    return {name: array[rows] for name, array in feed.items()}
