"""What `odetrain pack` is given: a function that builds a model of one's own."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from node_model.own import OwnModel

TORCH_ONLY = "; --torch-only packs it without graphs, for servers with PyTorch and your package alone"
"""Said where graphs are what cannot be had."""


class PackError(ValueError):
    """What is given cannot be made an artifact; the message names the part and says why."""


def load_package(package: str) -> OwnModel:
    """The model that `module:function` builds, the working directory being looked in first.

    Errors: PackError.
    """
    module_name, _, function_name = package.partition(":")
    if not module_name or not function_name:
        raise PackError(f"{package!r}: expected module:function, for instance my_model:build")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise PackError(f"{package}: {error}; it is looked for in {Path.cwd()} and among what is installed") from error
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise PackError(f"{package}: while {module_name} is imported: {raised(error)}") from error
    build: Callable[[], Any] | None = getattr(module, function_name, None)
    if not callable(build):
        raise PackError(f"{package}: {module_name} has no function {function_name}")
    try:
        model = build()
    except (Exception, SystemExit) as error:  # whatever the function does
        raise PackError(f"{package}: {raised(error)}") from error
    if not isinstance(model, OwnModel):
        raise PackError(f"{package}: expected to be given back a node_model.own.OwnModel, got {_kind(model)}")
    _check_precision(package, model)
    return model.cpu().eval().requires_grad_(False)


def raised(error: BaseException) -> str:
    """An error of a user's code in a line: its kind, its first line, and the innermost place outside of libraries."""
    words = str(error).strip().partition("\n")[0]
    places = [
        f", at {frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in Path(frame.filename).parts and not frame.filename.startswith(_OURS)
    ]
    return f"{type(error).__name__}{': ' if words else ''}{words}{places[-1] if places else ''}"


_OURS = ("<", importlib.__file__, *(str(Path(__file__).parents[1] / room) for room in ("node_model", "training")))
"""Where files of ours begin, of the machinery of imports, and those that are none."""


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _check_precision(package: str, model: OwnModel) -> None:
    """Whether the weights are float32 or float64, all the same. Errors: PackError."""
    kinds = {parameter.dtype for parameter in model.parameters()} or {model.dtype}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        found = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise PackError(
            f"{package}: expected weights in float32 or in float64, got {found}; .float() makes them float32"
        )
