"""Example inputs of a model of one's own, from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from node_model.own import LABELS, OwnModel, OwnProgram
from training.data import generator
from training.package import PackError

Array = npt.NDArray[Any]
MOST_DRAWS = 1_000


def read_arrays(path: Path, model: OwnModel, most: int) -> dict[str, Array]:
    """Inputs, arguments and labels by name: from .npz, or the one input there is from .npy; the first `most` items.

    Shapes: each [item, ...].
    Errors: PackError naming the array.
    """
    wanted = _ranges(model)
    given = _read(path, list(wanted), most)
    known = {*wanted, LABELS} if model.labels else set(wanted)
    if not set(wanted) <= set(given) <= known:
        raise PackError(f"{path}: expected arrays named {', '.join(wanted)}; got {', '.join(sorted(given))}")
    for name, array in given.items():
        if array.dtype.kind not in "biuf" or array.ndim == 0 or array.size == 0:
            raise PackError(f"{path}: {name}: expected numbers [item, ...], got {array.dtype} {list(array.shape)}")
        if not np.isfinite(array).all():
            raise PackError(f"{path}: {name}: holds a number that is not finite")
        low, high = wanted.get(name) or (-np.inf, np.inf)
        if array.min() < low or array.max() > high:
            held = f"{array.min():g} to {array.max():g}"
            raise PackError(f"{path}: {name}: expected numbers within {low:g} and {high:g}, its range; holds {held}")
    if len({len(array) for array in given.values()}) > 1:
        counts = ", ".join(f"{name} {len(array)}" for name, array in given.items())
        raise PackError(f"{path}: expected as many items in each array; got {counts}")
    if LABELS in given:
        _check_labels(path, given[LABELS], len(model.labels))
    return given


def _read(path: Path, wanted: list[str], most: int) -> dict[str, Array]:
    """Arrays of a file by name, the first `most` items of each; of an .npy no more is read. Errors: PackError."""
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            if len(wanted) != 1:
                raise PackError(f"{path}: the model takes {', '.join(wanted)}; give them by name in an .npz file")
            return {wanted[0]: np.array(loaded[:most] if loaded.ndim else loaded)}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
            return {name: array[:most] if array.ndim else array for name, array in arrays.items()}
    except PackError:
        raise
    except FileNotFoundError:
        raise PackError(f"{path}: no such file; numpy.save writes one") from None
    except Exception as error:  # numpy and zipfile have many
        raise PackError(f"{path}: expected an .npy or .npz file of numbers: {error}") from error


def _check_labels(path: Path, labels: Array, classes: int) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise PackError(f"{path}: {LABELS}: expected a whole number of 0 to {classes - 1} for each item")


def _ranges(model: OwnModel) -> dict[str, tuple[float, float] | None]:
    """Arrays that callers of any program give, and the least and largest number of each."""
    ranges: dict[str, tuple[float, float] | None] = {}
    for program in model.wanted.values():
        if program.draw is None:
            ranges[program.input] = program.range
        ranges |= {arg.name: arg.range for arg in program.args if arg.draw is None}
    return ranges


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
