"""Is an artifact fit to be served? Hashes, graphs, and a solve with every method."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from node_model.errors import ArtifactError
from node_model.manifest import MANIFEST, WEIGHTS, Manifest, ProgramSpec, read_manifest, verified_bytes
from node_model.status import Status
from service.backends import open_stepper
from service.engine.engine import solve_alone
from service.engine.program import ServedProgram
from service.engine.request import Problem
from service.engine.width import example
from service.models import load_model
from service.settings import Settings

ITEMS = 4
MAX_NFE = 10_000


def check_artifact(directory: Path) -> Iterator[str]:
    """A line for each thing that is as it should be.

    Errors: ArtifactError with a line for each thing that is not, naming its file. One kind of check is done with all
    files before the next begins: hashes, graphs, solves.
    """
    manifest = read_manifest(directory)
    yield f"{directory / MANIFEST}: {manifest.name}@{manifest.version}, {manifest.task}"
    yield from _each(_hash_checks(directory, manifest))
    # Without graphs there is one backend that can serve it, and that is the one to be asked.
    settings = Settings(lanes=ITEMS, backend="onnx" if manifest.has_graphs else "torch")
    yield from _each(_graph_checks(directory, manifest, settings))
    model = load_model(directory, settings)
    yield from _each(
        partial(_solve_examples, name, program, method, directory / _step_file(program.spec, method))
        for name, program in model.programs.items()
        for method in program.spec.methods
    )


def _step_file(spec: ProgramSpec, method: str) -> str:
    """What a method's steps are computed by."""
    return spec.graphs.step[method] if spec.graphs else WEIGHTS


def _each(checks: Iterator[Callable[[], str]]) -> Iterator[str]:
    """What each check says. Errors: ArtifactError with all that failed, once every check was made."""
    wrong = []
    for check in checks:
        try:
            yield check()
        except ArtifactError as error:
            wrong.append(str(error))
    if wrong:
        raise ArtifactError("\n".join(wrong))


def _hash_checks(directory: Path, manifest: Manifest) -> Iterator[Callable[[], str]]:
    """Every file that the manifest lists, and every other that is there."""
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()}
    for name in sorted((present | set(manifest.sha256)) - {MANIFEST}):
        yield partial(_hash, directory, manifest, name)


def _hash(directory: Path, manifest: Manifest, name: str) -> str:
    verified_bytes(directory, manifest, name)
    return f"{directory / name}: sha256 as in {MANIFEST}"


def _graph_checks(directory: Path, manifest: Manifest, settings: Settings) -> Iterator[Callable[[], str]]:
    for name in manifest.programs:
        yield partial(_graphs, directory, manifest, name, settings)


def _graphs(directory: Path, manifest: Manifest, name: str, settings: Settings) -> str:
    try:
        spec = open_stepper(settings, directory, manifest, name).spec
    except ImportError as error:
        raise ArtifactError(f"{directory}: {name} has no graphs, and PyTorch is not here: {error}") from error
    outputs = ", ".join(f"{output.name} {list(output.shape)}" for output in spec.outputs)
    loaded = "graphs load" if spec.graphs else "weights load, for PyTorch alone"
    return f"{name}: {loaded}; {spec.input.name} {list(spec.input.shape)} -> {outputs}"


def _solve_examples(name: str, program: ServedProgram, method: str, path: Path) -> str:
    """A few examples solved. Errors: ArtifactError when one fails, is not finite, or counts other than it says."""
    spec = program.spec
    problem = Problem(
        program=program,
        method=method,
        inputs=example(spec.input, ITEMS),
        args=tuple(example(arg, ITEMS) for arg in spec.args),
        rtol=spec.tol.default,
        atol=spec.tol.default,
        max_nfe=MAX_NFE,
        first_dt=program.cost.first_dt(method, spec.tol.default),
        partial=True,
    )
    try:
        solution = solve_alone(problem).solution
    except Exception as error:  # of the backend, which has its own
        raise ArtifactError(f"{path}: does not run: {str(error).splitlines()[0]}") from error
    cost = spec.methods[method]
    attempts = (solution.accepted + solution.rejected).tolist()
    for status, nfe, tried in zip(solution.status.tolist(), solution.nfe.tolist(), attempts, strict=True):
        if status != Status.OK:
            raise ArtifactError(f"{path}: an example ends {Status(status).label} at tol {spec.tol.default:g}")
        said = cost.nfe_start + cost.nfe_attempt * tried
        if nfe != said:
            raise ArtifactError(f"{path}: {tried} steps took {nfe} evaluations; by {MANIFEST} they take {said}")
    return f"{name} {method}: solves at tol {spec.tol.default:g} with NFE {solution.nfe.mean():g}"
