"""Where a plan's numbers come from: an artifact on disk, or a server that has been at work."""

import json
import math
import re
from pathlib import Path
from typing import Any

from node_model.manifest import Manifest, ProgramSpec, read_manifest
from service.capacity.interpreter import interpreter_seconds
from service.capacity.replica import BESIDE_SECONDS, INTERPRETER_SECONDS
from service.models import ASKED, find_artifacts, load_model
from service.settings import Settings
from service.simulation.program import Timings, timings_of

ENOUGH_EVALUATIONS = 10_000
_SAMPLE = re.compile(r"odeserve_(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")


class SourceError(ValueError):
    """There is no model, program or measurement of that kind; the message says what there is."""


def chosen_program(programs: dict[str, Any], wanted: str | None, model: str) -> str:
    """The one that is named, or the first that has a route. Errors: SourceError."""
    if wanted is None:
        return next((name for name in ASKED if name in programs), next(iter(programs)))
    if wanted not in programs:
        raise SourceError(f"{model} has no program {wanted!r}; it has {', '.join(programs)}")
    return wanted


def artifact_of(settings: Settings, model: str | None) -> tuple[Path, Manifest]:
    """The newest version of a model, or the first default. Errors: ArtifactError; SourceError."""
    found = [(path, read_manifest(path)) for path in find_artifacts(settings)]
    known = {manifest.name for _, manifest in found}
    name, _, version = (model or next((n for n in settings.default_models if n in known), found[0][1].name)).partition(
        "@"
    )
    fitting = [one for one in found if one[1].name == name and version in ("", one[1].version)]
    if not fitting:
        raise SourceError(f"no model {model!r}; known are {', '.join(sorted(known))}")
    return max(fitting, key=lambda one: int(one[1].version))


def measured_timings(path: Path, settings: Settings, program: str) -> Timings:
    """Here and now, as a server does when it loads the model. Errors: ArtifactError."""
    return timings_of(load_model(path, settings).programs[program])


def measured_beside() -> float:
    """What a request takes outside the engine on this machine, where Python is so much faster or slower than where that
    was measured. Units: seconds."""
    return BESIDE_SECONDS * interpreter_seconds() / INTERPRETER_SECONDS


def described_programs(document: Any) -> tuple[str, dict[str, ProgramSpec]]:
    """Name and programs of what a server says of a model. Errors: SourceError."""
    try:
        programs = {
            name: ProgramSpec.model_validate_json(json.dumps(one)) for name, one in document["programs"].items()
        }
        return str(document["name"]), programs
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(
            "--url: the server does not describe its models as this command reads them; is it of another version?"
        ) from error


def seconds_per_evaluation(exposition: str, model: str) -> float:
    """What a server's shards spent on a model since its start, over the evaluations that they made. Units: seconds.

    Errors: SourceError when it has done too little for that to say anything.
    """
    unreadable = SourceError("--url: its /metrics does not read as that of a server; expected numbers")
    sums = {"engine_step_duration_seconds_sum": 0.0, "function_evaluations_total": 0.0}
    for sample in _SAMPLE.finditer(exposition):
        if sample["name"] in sums and f'model="{model}"' in sample["labels"]:
            try:
                sums[sample["name"]] += float(sample["value"])
            except ValueError:
                raise unreadable from None
    seconds, evaluations = sums.values()
    if not all(math.isfinite(one) and one >= 0 for one in sums.values()):
        raise unreadable
    if evaluations < ENOUGH_EVALUATIONS:
        raise SourceError(
            f"{model} has made {evaluations:.0f} evaluations there, too few to tell their time; ask it something first "
            "(odeserve bench), or give --ms-per-evaluation"
        )
    return seconds / evaluations
