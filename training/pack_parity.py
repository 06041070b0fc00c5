"""The exported graphs of a packed program held against its modules."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from node_model.manifest import Manifest
from node_model.program import Program
from node_model.solvers import solve_ivp
from training.graphs import ANY_ERROR, GraphProgram, first_line
from training.pack_arrays import Array
from training.package import TORCH_ONLY, PackError

ITEMS = 16
_NO_KERNEL = re.compile(r"Could not find an implementation for (\w+)\(")
CLOSE = {"float32": 1e-3, "float64": 1e-10}
"""Relative to the largest number: kernels sum in another order."""
STEP = 0.01
"""Of the interval, tried once: longer solves may part at a rejection that rounding decides."""


def check_parity(directory: Path, manifest: Manifest, program: Program, arrays: Mapping[str, Array]) -> str:
    """What agrees, in a line. Errors: PackError naming the graph that gives something else than its module.

    Shapes: arrays, input first, each [item, ...].
    """
    try:
        graphs = GraphProgram(directory, manifest, program.name, threads=1, width=ITEMS)
    except Exception as error:  # of the runtime
        missing = _NO_KERNEL.search(str(error))
        if not missing:
            raise PackError(f"{program.name}: ONNX Runtime does not take the graphs: {error}") from error
        float32 = "; keep the model in float32" if manifest.state_dtype == "float64" else ""
        words = f"ONNX Runtime has no {missing[1]} for {manifest.state_dtype} on a CPU{float32}"
        raise PackError(f"{program.name}: {words}, or compute it with other operators{TORCH_ONLY}") from error
    inputs, *args = (array[:ITEMS] for array in arrays.values())
    fed = dict(zip((arg.name for arg in program.args), args, strict=True))
    tensors = tuple(map(torch.from_numpy, args))
    start, end = program.interval
    dt = abs(end - start) * STEP
    with torch.no_grad():
        y = program.encode(torch.from_numpy(inputs))
        t = torch.full((len(y),), start, dtype=y.dtype)
        field, decoded = program.field(t, y, tensors), program.decode(y)
        steps = {
            method: _one_step(program, y, tensors, method, dt) for method in manifest.programs[program.name].methods
        }
    y0 = y.numpy()
    expected = {"encode": y0, "start": field.numpy(), **{f"step-{method}": y1 for method, y1 in steps.items()}}
    found: dict[str, Array] = {}
    with _running(program, "encode"):
        found["encode"] = graphs.encode(inputs)
    with _running(program, "start"):
        found["start"] = graphs.derivative(y0, fed)
    for method in steps:
        with _running(program, f"step-{method}"):
            found[f"step-{method}"] = graphs.one_step(y0, fed, method=method, dt=dt)
    with _running(program, "decode"):
        answers = graphs.decode(y0)
    for spec, answer, tensor in zip(program.outputs, answers, decoded, strict=True):
        found[f"decode: {spec.name}"], expected[f"decode: {spec.name}"] = answer, tensor.numpy()
    worst = max(_off(manifest, program, graph, found[graph], expected[graph]) for graph in found)
    return f"{program.name}: graphs agree with the modules within {worst:.1e} of the largest number"


def _one_step(program: Program, y: Tensor, args: tuple[Tensor, ...], method: str, dt: float) -> Array:
    """One attempt that nothing rejects: a solve over no more than that. Shapes: y, args [item, ...] -> [item, dim]."""
    start, end = program.interval
    stop = start + math.copysign(dt, end - start)
    solved = solve_ivp(
        program.field, y, start, [stop], rtol=ANY_ERROR, atol=ANY_ERROR, method=method, args=args, dt0=dt
    )
    found: Array = solved.ys[-1].numpy()
    return found


@contextmanager
def _running(program: Program, graph: str) -> Iterator[None]:
    """Around a run of a graph. Errors: PackError where it fails, which the module did not."""
    try:
        yield
    except Exception as error:  # ONNX Runtime has an exception class of its own for each status, without a base
        raise PackError(
            f"{program.name}: {graph}: ONNX Runtime fails in the exported graph, where the module does not: "
            f"{first_line(error)}"
        ) from error


def _off(manifest: Manifest, program: Program, graph: str, found: Array, expected: Array) -> float:
    """Largest difference, relative. Errors: PackError above what rounding explains."""
    scale = max(float(np.abs(expected).max()), 1e-6)
    off = float(np.abs(found.astype(np.float64) - expected).max()) / scale
    if not off <= CLOSE[manifest.state_dtype]:
        raise PackError(
            f"{program.name}: {graph}: the exported graph gives something else than the module, by {off:.2g} of the "
            "largest number; does the module compute otherwise while it is exported?"
        )
    return off
