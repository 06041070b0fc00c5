"""Artifacts on disk: weights beside a manifest, published whole or not at all, loaded only when their hashes agree."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import nn

from node_model.cnf import CNF, CNFConfig
from node_model.errors import ArtifactError
from node_model.manifest import WEIGHTS, Manifest, read_manifest, verified_bytes
from node_model.odenet import ODENet, ODENetConfig

Model = ODENet | CNF

OWN_FAMILIES: dict[str, Callable[[dict[str, Any]], Any]] = {}
"""Networks of a user's own: by the `family` of a manifest's architecture, what makes one of the rest of it, a module
with `programs()`. Empty, because an artifact holds nothing executable: whoever runs one in PyTorch enters it here, or
installs a package that declares it."""
INSTALLED = "odeserve.models"
"""Group of entry points with which a package declares the functions that `odetrain pack` was given, as their values."""


def architecture_of(model: Model) -> dict[str, object]:
    """What `rebuild` needs to make the same network: the family and its config."""
    family = "odenet" if isinstance(model, ODENet) else "cnf"
    return {"family": family, **asdict(model.config)}


def rebuild(manifest: Manifest) -> Model:
    """The network of a manifest, its weights not yet loaded.

    Errors: ArtifactError for a family or a config that this version does not know.
    """
    config = dict(manifest.architecture)
    family = config.pop("family", None)
    try:
        if family == "odenet":
            return ODENet(ODENetConfig(**config))
        if family == "cnf":
            return CNF(CNFConfig.of(config))
        if family in OWN_FAMILIES:
            own: Model = OWN_FAMILIES[family](config)
            return own
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{manifest.name}: architecture: {error}") from error
    installed = {declared.value: declared for declared in entry_points(group=INSTALLED)}
    if isinstance(family, str) and family in installed:
        return _installed(installed[family], manifest)
    known = " or ".join(("odenet", "cnf", *OWN_FAMILIES, *installed))
    otherwise = "; as ONNX graphs any family is served" if manifest.has_graphs else ""
    raise ArtifactError(
        f"{manifest.name}: architecture.family: expected {known}, got {family!r}; for PyTorch install a package that "
        f"declares it as an entry point of {INSTALLED!r}{otherwise}"
    )


def _installed(declared: EntryPoint, manifest: Manifest) -> Model:
    """The network that an installed package builds for a manifest that names it. Errors: ArtifactError."""
    try:
        packed: Any = declared.load()()
        packed.take_specs(manifest.programs)
    except Exception as error:  # of the package
        raise ArtifactError(f"{manifest.name}: {declared.value}: {type(error).__name__}: {error}") from error
    return cast(Model, packed)


def save_weights(model: nn.Module, directory: Path) -> None:
    """Write `weights.safetensors`: under each of its names a weight that several modules share."""
    # Copies, because safetensors takes no two names for one memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    (directory / WEIGHTS).write_bytes(safetensors.torch.save(tensors))


def load_model(directory: Path) -> tuple[Manifest, Model]:
    """The network of an artifact with its weights, in evaluation mode.

    Errors: ArtifactError naming the file when it is missing, altered, or does not fit the architecture.
    """
    manifest = read_manifest(directory)
    content = verified_bytes(directory, manifest, WEIGHTS)
    # In the artifact's own precision: load_state_dict would round float64 weights to the network's dtype in silence.
    model = rebuild(manifest).to(getattr(torch, manifest.state_dtype))
    try:
        model.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"{directory / WEIGHTS}: {error}") from error
    return manifest, model.eval()


def publish(destination: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside the destination, then rename it there.

    Errors: FileExistsError when the destination exists; whatever `write` raises, leaving nothing behind.
    """
    if destination.exists():
        raise FileExistsError(f"{destination} exists; choose another version or remove it")
    destination.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        write(beside)
        beside.chmod(0o755)
        beside.rename(destination)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # of other versions in it
            destination.parent.rmdir()
        raise
