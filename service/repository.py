"""The artifacts on disk beside the models that are served: which there are, and loading them anew."""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

from node_model.errors import ArtifactError
from service.models import LoadedModel, Models, UnknownModelError, artifacts_in, load_model
from service.settings import Settings

UNLOADED = "unloaded"


@dataclass(frozen=True)
class Entry:
    """One version of a model, on disk or served. `reason`: why it is not served, or not in its newest form."""

    name: str
    version: str
    ready: bool
    reason: str


class Repository:
    """What lies in the folder of models. Loading takes seconds of a thread and changes nothing by itself: it gives the
    models that are to be served instead.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reasons: dict[tuple[str, str], str] = {}

    def index(self, models: Models) -> list[Entry]:
        """Every version on disk or served, in order."""
        served = {(model.name, model.manifest.version) for model in models}
        present = {(path.parent.name, path.name) for path in artifacts_in(self._settings.models_dir)}
        self._reasons = {key: reason for key, reason in self._reasons.items() if key in present | served}
        return [
            Entry(name, version, (name, version) in served, self._reasons.get((name, version), ""))
            for name, version in sorted(present | served)
        ]

    def load(self, models: Models, wanted: str) -> Models:
        """The models once `name` is served as it lies on disk, every version of it; `name@version`: that one alone.

        All of it or nothing: where one version cannot be loaded the models stay as they are.

        Errors: UnknownModelError when there is no such artifact; ArtifactError naming the file that is wrong.
        """
        name, _, version = wanted.partition("@")
        present = artifacts_in(self._settings.models_dir)
        paths = [path for path in present if path.parent.name == name and version in ("", path.name)]
        if not paths:
            there = ", ".join(f"{path.parent.name}@{path.name}" for path in present) or "none"
            raise UnknownModelError(f"no artifact {wanted[:80]!r} in the repository; there are {there}")
        loaded = [self._load(path) for path in paths]
        return models.replaced(_served(models, name, version), loaded)

    def unload(self, models: Models, wanted: str) -> Models:
        """The models without `name`, or without `name@version` alone. Errors: UnknownModelError when none is served."""
        models.find(wanted)
        name, _, version = wanted.partition("@")
        gone = _served(models, name, version)
        for model in gone:
            self._reasons[model.name, model.manifest.version] = UNLOADED
        return models.replaced(gone, ())

    def _load(self, path: Path) -> LoadedModel:
        key = (path.parent.name, path.name)
        try:
            model = load_model(path, self._settings)
        except ArtifactError as error:
            # Whoever asks over the network knows the repository, not where it lies.
            message = str(error).replace(f"{self._settings.models_dir}/", "")
            self._reasons[key] = message
            raise ArtifactError(message) from error
        self._reasons.pop(key, None)
        return model


def _served(models: Models, name: str, version: str) -> list[LoadedModel]:
    return [model for model in models if model.name == name and version in ("", model.manifest.version)]


def give_back_memory() -> None:
    """Let the system have what was freed, where the C library keeps it: a few models' worth after a few reloads."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim:
            trim(0)
