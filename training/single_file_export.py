"""From an artifact to a single file: its graphs checked, composed, and compared with what they give by themselves."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from node_model.calibrated import first_dt, measured_rows
from node_model.errors import ArtifactError
from node_model.manifest import MANIFEST, Manifest, TensorSpec, read_manifest, sha256_of, verified_bytes
from node_model.status import Status
from node_model.whole_file import write_whole
from training.graphs import Array, GraphProgram, first_line
from training.single_file import Parts, composed

REFERENCE_METHOD = "dopri5"
"""Taken where none is named: by it the others are judged, and its error falls with tol all the way."""
MAIN = {"classify": "classify", "density": "log_density", "predict": "predict"}
"""The program of a task, taken where none is named."""
MOST_BYTES = 2**31 - 2**20
"""What fits into a file of ONNX."""
COMPARED, LEAST = 5, (-1.0, 0.0)
"""Lanes of a comparison, and the least numbers of its inputs: some models want numbers above 0."""


@dataclass(frozen=True)
class FileOrder:
    """What is to be in the file, as it was ordered; None leaves the choice to the artifact."""

    artifact: Path
    out: Path | None = None
    program: str | None = None
    method: str | None = None
    stops: bool = False


def export_single_file(order: FileOrder) -> Path:
    """Write the file; where it is.

    Errors: ArtifactError naming a file of the artifact that is missing or altered; ValueError for a program or method
        that it does not have, and for what cannot be one file; FileExistsError; OSError naming the file.
    """
    manifest = read_manifest(order.artifact)
    program = _chosen("program", order.program or MAIN[manifest.task], manifest.programs)
    spec = manifest.programs[program]
    usual = REFERENCE_METHOD if REFERENCE_METHOD in spec.methods else next(iter(spec.methods))
    method = _chosen("method", order.method or usual, spec.methods)
    out = order.out or Path(f"{manifest.name}-{manifest.version}-{program}-{method}.onnx")
    if out.exists():
        raise FileExistsError(f"{out} exists; choose another file with --out or remove it")
    graphs = _graphs(order.artifact, manifest, program, method)
    digest = sha256_of(order.artifact / MANIFEST)
    content = composed(Parts(manifest, digest, program, method, graphs, order.stops)).SerializeToString()
    _compare(content, order, manifest, program, method)
    write_whole(out, content)
    return out


def _chosen(what: str, name: str, known: Any) -> str:
    if name not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}; got {name!r}")
    return name


def _graphs(artifact: Path, manifest: Manifest, program: str, method: str) -> dict[str, onnx.ModelProto]:
    """The four graphs, from the very bytes whose hash was checked."""
    paths = manifest.graphs_of(program)
    files = {"encode": paths.encode, "start": paths.start, "step": paths.step[method], "decode": paths.decode}
    contents = {kind: verified_bytes(artifact, manifest, file) for kind, file in files.items()}
    if sum(map(len, contents.values())) > MOST_BYTES:
        raise ValueError(f"{artifact}: its graphs together are larger than a file of ONNX may be, 2 GiB")
    graphs = {}
    for kind, content in contents.items():
        try:
            graphs[kind] = onnx.load_from_string(content)
        except DecodeError as error:
            raise ArtifactError(f"{artifact / files[kind]}: is no graph of ONNX") from error
    return graphs


def _compare(content: bytes, order: FileOrder, manifest: Manifest, program: str, method: str) -> None:
    """See that the file gives what the artifact's graphs give, bit for bit, loosely and as by default.

    Errors: ValueError saying what differs.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        graphs = GraphProgram(order.artifact, manifest, program, threads=1)
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception class of its own for each status, without a base
        raise ValueError(f"ONNX Runtime cannot load it: {first_line(error)}") from error
    spec, rng, solved = graphs.spec, np.random.default_rng(0), 0
    for tol, least in itertools.product((spec.tol.loosest, spec.tol.default), LEAST):
        inputs, *args = ({one.name: _example(one, rng, least)} for one in (spec.input, *spec.args))
        constants = {name: array for arg in args for name, array in arg.items()}
        feed: dict[str, Array] = {**inputs, **constants, "tol": np.array([tol]), "max_nfe": np.array([1000])}
        if order.stops:
            feed["t"] = np.array([spec.interval[1]])
        dt = first_dt(spec, measured_rows(spec, method), tol)
        # The artifact's graphs first: what fails in one of them fails in the file, which does not say where.
        with _running(manifest, program, "encode"):
            y0 = graphs.encode(inputs[spec.input.name])
        with _running(manifest, program, f"start or step-{method}"):
            alone = graphs.solve(y0, constants, method=method, tol=tol, dt=dt, max_nfe=1000)
        with _running(manifest, program, "decode"):
            decoded = graphs.decode(alone.y)
        with _running(manifest, program, "the single file"):
            *answers, nfe, _, _, _, status = session.run(None, feed)
        ok = status == Status.OK
        # A state that ends well but has no finite answer is none, in the service as in the file.
        finite = np.all([np.isfinite(one).reshape(COMPARED, -1).all(1) for one in decoded], 0)
        same = [np.array_equal(nfe, alone.nfe), np.array_equal(ok, (alone.status == Status.OK) & finite)]
        solved += int(ok.sum())
        for answer, expected in zip(answers, decoded, strict=True):
            same.append(np.array_equal(answer[ok, 0] if order.stops else answer[ok], expected[ok]))
        if not all(same):
            raise ValueError(f"the file would not answer as the graphs of the artifact do, at tol {tol:g}")
    if not solved:
        raise ValueError(
            f"{manifest.name}: no input drawn between {min(LEAST):g} and 1 has an answer, so that the file cannot be "
            "compared with the graphs; give the input a range in the manifest"
        )


@contextmanager
def _running(manifest: Manifest, program: str, graph: str) -> Iterator[None]:
    """Around a run of a graph on inputs that are drawn. Errors: ValueError where it fails."""
    try:
        yield
    except Exception as error:  # as above
        spec = manifest.programs[program]
        free = [one.name for one in (spec.input, *spec.args) if one.range is None and one.draw is None]
        advice = (
            f"; {' and '.join(free)} drawn between {min(LEAST):g} and 1: where a model does not take all of that, as a "
            "table lookup does not, give a range in the manifest (OwnProgram(range=...), OwnArg(range=...))"
        )
        raise ValueError(
            f"{program}: {graph}: ONNX Runtime fails: {first_line(error)}{advice if free else ''}"
        ) from error


def _example(spec: TensorSpec, rng: np.random.Generator, least: float) -> Array:
    least, most = spec.range or (least, 1.0)
    return rng.uniform(least, most, (COMPARED, *spec.shape)).astype(spec.dtype)
