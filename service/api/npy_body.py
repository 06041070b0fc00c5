"""Arrays in NumPy's own file format, taken as they are."""

import math
from io import BytesIO

import numpy as np
from numpy.lib import format as npy

from node_model.manifest import TensorSpec
from service.api.bodies import too_many
from service.api.errors import ApiError, invalid
from service.engine.stepper import Array

MOST_HEADER_BYTES = 10_000
REAL = "biuf"
"""Kinds of numbers that are taken: boolean, signed, unsigned, floating."""

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(body: bytes, spec: TensorSpec, one: str, many: str, most_items: int) -> Array:
    """One input of the spec, or several along a first axis, of any real type, either byte order, rows or columns first.

    Nothing is unpickled, and the header is held against the spec and the length of the body before anything is made.

    Shapes: -> [item, *spec.shape].
    Errors: ApiError 422 saying what was expected, 413 for too many items.
    """
    file = BytesIO(body)
    shape, by_columns, dtype = _header(file)
    if dtype.kind not in REAL or dtype.itemsize == 0:
        raise invalid("npy", f"expected real numbers, got dtype {str(dtype)[:80]}")
    _check_shape(shape, spec, one, many, most_items)
    expected, got = math.prod(shape) * dtype.itemsize, len(body) - file.tell()
    if expected != got:
        raise invalid("npy", f"expected {expected} bytes of data for shape {list(shape)} of {dtype}, got {got}")
    values = np.frombuffer(body, dtype, offset=file.tell()).reshape(shape, order="F" if by_columns else "C")
    _check_values(values, spec, one if len(shape) == len(spec.shape) else many)
    return np.ascontiguousarray(values.reshape(-1, *spec.shape), dtype=spec.dtype)


def _header(file: BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, dtype. Errors: ApiError 422."""
    try:
        version = npy.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format; expected 1.0 or 2.0")
        shape, by_columns, dtype = _READERS[version](file, max_header_size=MOST_HEADER_BYTES)
    except Exception as error:  # a header is Python text, and what can be wrong with it has many names
        raise invalid("npy", f"expected a .npy file: {' '.join(str(error).split())[:200]}") from error
    if any(type(side) is not int or side < 0 for side in shape):
        raise invalid("npy", f"expected a shape of whole numbers, got {str(shape)[:80]}")
    return shape, by_columns, dtype


def _check_shape(shape: tuple[int, ...], spec: TensorSpec, one: str, many: str, most_items: int) -> None:
    if shape == spec.shape:
        return
    if shape[1:] != spec.shape or len(shape) != len(spec.shape) + 1:
        several = ", ".join(["n", *map(str, spec.shape)])
        raise invalid(one, f"expected shape {list(spec.shape)}, or [{several}] for {many}, got {str(list(shape))[:80]}")
    if shape[0] == 0:
        raise invalid(many, "expected at least one entry, got an empty list")
    if shape[0] > most_items:
        raise too_many(many, most_items)


def _check_values(values: Array, spec: TensorSpec, field: str) -> None:
    """Errors: ApiError 422 naming the first number that is not finite or out of range, as for JSON."""
    most = float(np.finfo(spec.dtype).max)
    low, high = spec.range or (-most, most)
    with np.errstate(invalid="ignore"):
        if ((values >= low) & (values <= high)).all():
            return
        wrong = ~((values >= low) & (values <= high))
    place = np.unravel_index(int(wrong.argmax()), values.shape)
    raise _bad_number(field + "".join(f"[{index}]" for index in place), values[place], low, high)


def _bad_number(path: str, value: np.generic, low: float, high: float) -> ApiError:
    number = value.item()
    if not np.isfinite(value):
        return invalid(path, f"expected a finite number, got {number}")
    bound = f"below {low:g}" if number < low else f"above {high:g}"
    return invalid(path, f"expected a number not {bound}, got {number!r}")
