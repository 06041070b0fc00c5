"""What `odetrain pack` is given: a function that builds a model, and example inputs in a file."""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from node_model.own import OwnModel, OwnProgram
from training.data import generator

Array = npt.NDArray[Any]
MOST_DRAWS = 1_000
LABELS = "labels"
"""Array of class numbers that may lie beside a classifier's inputs, for its accuracy."""


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
        build: Callable[[], Any] = getattr(importlib.import_module(module_name), function_name)
    except ImportError as error:
        raise PackError(f"{package}: cannot be imported: {error}") from error
    except AttributeError:
        raise PackError(f"{package}: {module_name} has no function {function_name}") from None
    model = build()
    if not isinstance(model, OwnModel):
        raise PackError(f"{package}: expected a node_model.own.OwnModel, got {type(model).__name__}")
    return model.eval()


def read_arrays(path: Path, model: OwnModel) -> dict[str, Array]:
    """Inputs, arguments and labels by name: from .npz, or the one input there is from .npy.

    Shapes: each [item, ...].
    Errors: PackError naming the array.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise PackError(f"{path}: expected an .npy or .npz file of numbers: {error}") from error
    wanted = _names(model)
    given = {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else None
    if given is None:
        if len(wanted) != 1:
            raise PackError(f"{path}: the model takes {', '.join(wanted)}; give them by name in an .npz file")
        given = {wanted[0]: loaded}
    missing, unknown = set(wanted) - set(given), set(given) - {*wanted, LABELS}
    if missing or unknown:
        raise PackError(f"{path}: expected arrays named {', '.join(wanted)}; got {', '.join(sorted(given))}")
    for name, array in given.items():
        if array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
            raise PackError(f"{path}: {name}: expected numbers [item, ...], got {array.dtype} {list(array.shape)}")
        if not np.isfinite(array).all():
            raise PackError(f"{path}: {name}: holds a number that is not finite")
    if len({len(array) for array in given.values()}) > 1:
        counts = ", ".join(f"{name} {len(array)}" for name, array in given.items())
        raise PackError(f"{path}: expected as many items in each array; got {counts}")
    return given


def _names(model: OwnModel) -> list[str]:
    """Arrays that callers of any program give."""
    names: dict[str, str | None] = {}
    for program in model.wanted.values():
        names |= {program.input: program.draw}
        names |= {arg.name: arg.draw for arg in program.args}
    return [name for name, draw in names.items() if draw is None]


def arrays_for(program: OwnProgram, given: Mapping[str, Array], dtype: str, seed: int) -> dict[str, Array]:
    """A program's own, what is drawn being drawn. Shapes: each [item, ...]."""
    count = min((len(array) for array in given.values()), default=MOST_DRAWS)
    rng = generator(seed, 8)

    def values(name: str, shape: tuple[int, ...], draw: str | None) -> Array:
        if draw is None:
            return given[name].astype(dtype)
        drawn = rng.standard_normal((count, *shape))
        return (np.sign(drawn) if draw == "rademacher" else drawn).astype(dtype)

    arrays = {program.input: values(program.input, program.drawn_shape, program.draw)}
    return arrays | {arg.name: values(arg.name, arg.shape, arg.draw) for arg in program.args}
