"""The models a server has: artifacts found, checked, loaded, warmed, and looked up by `name` or `name@version`."""

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from node_model.errors import ArtifactError
from node_model.manifest import MANIFEST, Manifest, verify
from service.backends import open_stepper
from service.engine.cost import CostTable
from service.engine.program import ServedProgram
from service.engine.speed import Speed
from service.engine.stepper import Stepper
from service.engine.width import best_width, example_rows, measured_steps, start_seconds, step_seconds
from service.settings import PREFIX, Settings, SettingsError

log = logging.getLogger("odeserve")


ASKED = ("classify", "log_density", "sample", "predict")
"""Programs that are asked for by a route of their own; others are variants of these."""


class UnknownModelError(LookupError):
    """No loaded model has the name."""


@dataclass(frozen=True)
class LoadedModel:
    """One version of a model."""

    manifest: Manifest
    programs: dict[str, ServedProgram]

    @property
    def name(self) -> str:
        """Without the version."""
        return self.manifest.name


class Models:
    """Loaded models. `name` means the highest version."""

    def __init__(self, loaded: Iterable[LoadedModel], defaults: tuple[str, ...]) -> None:
        self._versions: dict[str, dict[str, LoadedModel]] = {}
        for model in sorted(loaded, key=lambda m: (m.name, int(m.manifest.version))):
            self._versions.setdefault(model.name, {})[model.manifest.version] = model
        self._defaults = defaults

    def __iter__(self) -> Iterator[LoadedModel]:
        for versions in self._versions.values():
            yield from versions.values()

    @property
    def names(self) -> list[str]:
        """Without versions, in order."""
        return list(self._versions)

    def find(self, wanted: str) -> LoadedModel:
        """The model for `name` or `name@version`. Errors: UnknownModelError, its message names the known ones."""
        name, _, version = wanted.partition("@")
        versions = self._versions.get(name)
        if versions is None:
            known = f"known are {', '.join(self.names)}" if self.names else "none is loaded"
            raise UnknownModelError(f"no model {wanted[:80]!r}; {known}")
        if "@" not in wanted:
            return list(versions.values())[-1]
        if version not in versions:
            raise UnknownModelError(f"no version {version[:80]!r} of {name}; known are {', '.join(versions)}")
        return versions[version]

    def versions(self, name: str) -> list[str]:
        """Of a model, in order; none of an unknown one."""
        return list(self._versions.get(name, ()))

    def replaced(self, gone: Iterable[LoadedModel], new: Iterable[LoadedModel]) -> "Models":
        """These models without some and with others."""
        without = set(map(id, gone))
        return Models([*(model for model in self if id(model) not in without), *new], self._defaults)

    def with_program(self, program: str) -> list[str]:
        """Names of the models whose highest version has a program."""
        return [name for name in self._versions if program in self.find(name).programs]

    def default_for(self, program: str) -> LoadedModel | None:
        """Who answers for a program when no model is named: the first of the defaults that has it, or the only one."""
        able = self.with_program(program)
        chosen = [name for name in self._defaults if name.partition("@")[0] in able] or (able if len(able) == 1 else [])
        return self.find(chosen[0]) if chosen else None

    def is_default(self, model: LoadedModel) -> bool:
        """Whether the model answers without being named."""
        return any(self.default_for(program) is model for program in ASKED if program in model.programs)


def artifacts_in(models_dir: Path) -> list[Path]:
    """Directories `<models_dir>/<name>/<version>` with a manifest, in order."""
    return sorted(path.parent for path in models_dir.glob(f"[!.]*/[!.]*/{MANIFEST}"))


def find_artifacts(settings: Settings) -> list[Path]:
    """The artifacts that the settings ask for, in order.

    Errors: ArtifactError when a wanted model is not there, or nothing is.
    """
    found = artifacts_in(settings.models_dir)
    if not found:
        raise ArtifactError(f"{settings.models_dir}: no artifact here; expected <model>/<version>/{MANIFEST}")
    if "*" in settings.models:
        return found
    chosen = []
    for wanted in settings.models:
        fitting = [path for path in found if wanted in (path.parent.name, f"{path.parent.name}@{path.name}")]
        if not fitting:
            known = ", ".join(f"{path.parent.name}@{path.name}" for path in found)
            raise ArtifactError(f"{settings.models_dir}: no artifact {wanted!r}; there are {known}")
        chosen += fitting
    return sorted(set(chosen))


def load_models(settings: Settings) -> Models:
    """Load, check, warm and measure every model that the settings ask for.

    Errors: ArtifactError naming the file that is wrong; SettingsError for a default model that is not there.
    """
    models = Models([load_model(path, settings) for path in find_artifacts(settings)], settings.default_models)
    for name in settings.default_models if settings.names_defaults else ():
        try:
            models.find(name)
        except UnknownModelError as error:
            raise SettingsError(f"{PREFIX}DEFAULT_MODELS: {error}") from error
    return models


def load_model(directory: Path, settings: Settings) -> LoadedModel:
    """One artifact; the widths of its steps are measured unless the settings name one. Errors: as load_models."""
    manifest = verify(directory)
    if (manifest.name, manifest.version) != directory.resolve().parts[-2:]:
        raise ArtifactError(f"{directory / MANIFEST}: is {manifest.name}@{manifest.version}, not what its folder says")
    load = next(_loads)
    programs = {}
    for name in manifest.programs:
        key = f"{manifest.name}@{manifest.version}/{name}#{load}"
        try:
            programs[name] = _warmed(
                manifest.name, key, open_stepper(settings, directory, manifest, name), settings.lanes
            )
        except ArtifactError:
            raise
        except Exception as error:  # a graph of other shapes than its manifest says: the backend has its own errors
            raise ArtifactError(f"{directory}: {name} does not run: {str(error).splitlines()[0]}") from error
        widths = ", ".join(f"{method} {lanes}" for method, lanes in programs[name].lanes.items())
        log.info("%s@%s %s: lanes %s", manifest.name, manifest.version, name, widths)
    return LoadedModel(manifest, programs)


_loads = itertools.count(1)


def _check_shapes(stepper: Stepper) -> None:
    """Errors: ValueError when the state or an output has another shape than the manifest says."""
    spec = stepper.spec
    lanes = stepper.start(example_rows(spec, 1, 1.0)).lanes
    if tuple(lanes.y.shape) != (1, spec.dim):
        raise ValueError(f"the state has {lanes.y.shape[1:]} numbers; its parts in {MANIFEST} have {spec.dim}")
    for output, array in zip(spec.outputs, stepper.decode(lanes.y), strict=True):
        if array.shape[1:] != output.shape:
            raise ValueError(f"output {output.name} has shape {array.shape[1:]}, in {MANIFEST} {output.shape}")


def _warmed(model: str, key: str, stepper: Stepper, lanes: int | None) -> ServedProgram:
    """Run each graph, choose the width of each method's steps, and time them there."""
    _check_shapes(stepper)
    widths, evaluations, steps = {}, {}, {}
    for method, spec in stepper.spec.methods.items():
        seconds_of = partial(step_seconds, stepper, method)
        seconds = {width: seconds_of(width) for width in (1, lanes)} if lanes else measured_steps(seconds_of)
        width = widths[method] = lanes or best_width(seconds)
        steps[method] = seconds
        evaluations[method] = seconds[width] / (width * spec.nfe_attempt)
    width = max(widths.values())
    speed = Speed(start_seconds(stepper, width) / width, evaluations, steps)
    return ServedProgram(model, key, stepper, CostTable(stepper.spec), speed, widths)
