"""Is an artifact fit to be served? Hashes, graphs, and a solve with every method."""

from collections.abc import Iterator
from pathlib import Path

from node_model.errors import ArtifactError
from node_model.manifest import verify
from node_model.status import Status
from service.engine.engine import solve_alone
from service.engine.program import ServedProgram
from service.engine.request import Problem
from service.engine.width import example
from service.models import load_model
from service.settings import Settings

ITEMS = 4
MAX_NFE = 10_000


def check_artifact(directory: Path) -> Iterator[str]:
    """A line for each thing that was checked. Errors: ArtifactError naming the file that is wrong."""
    manifest = verify(directory)
    yield f"{directory}: {manifest.name}@{manifest.version}, {len(manifest.sha256)} files as their hashes say"
    model = load_model(directory, Settings(lanes=ITEMS))
    for name, program in model.programs.items():
        for method, path in program.spec.graphs.step.items():
            nfe = _solve_examples(program, method, directory / path)
            yield f"{name} {method}: solves at tol {program.spec.tol.default:g} with NFE {nfe:g}"


def _solve_examples(program: ServedProgram, method: str, path: Path) -> float:
    """Mean NFE of a few examples. Errors: ArtifactError when one fails or is not finite."""
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
    for status in (solution := solve_alone(problem).solution).status.tolist():
        if status != Status.OK:
            raise ArtifactError(f"{path}: an example ends {Status(status).label} at tol {spec.tol.default:g}")
    return float(solution.nfe.mean())
