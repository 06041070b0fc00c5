"""Tensors on the wire: JSON lists or little-endian bytes on the way in, either on the way out."""

import math
import struct
from itertools import chain
from typing import Any

import numpy as np

from node_model.manifest import TensorSpec
from service.api.bodies import KINDS
from service.api.errors import ApiError, Code, invalid
from service.engine.stepper import Array

NUMBERS: dict[str, str] = {
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Datatypes of numbers, and how numpy calls them."""
INTEGERS = tuple(name for name in NUMBERS if "INT" in name)
NUMBER_TYPES = {int, float}
"""As JSON gives them; a boolean is none."""
OUTPUTS: dict[str, str] = NUMBERS | {"BOOL": "?"}


def array_of_bytes(name: str, datatype: str, shape: list[int], content: bytes) -> Array:
    """A tensor that came as bytes. Errors: ApiError 422."""
    dtype = np.dtype(NUMBERS[datatype])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise invalid(name, f"expected {expected} bytes for {datatype} of shape {shape}, got {len(content)}")
    return np.frombuffer(content, dtype).reshape(shape)


def array_of_list(name: str, datatype: str, shape: list[int], data: Any) -> Array:
    """A tensor that came as JSON, nested as its shape says or flat in row-major order. Errors: ApiError 422."""
    numbers = _flat(name, shape, data)
    kinds = set(map(type, numbers))
    if not kinds <= NUMBER_TYPES:
        position, wrong = next(pair for pair in enumerate(numbers) if type(pair[1]) not in NUMBER_TYPES)
        got = KINDS.get(type(wrong), f"{wrong!r:.80}")
        raise invalid(f"{name}{_place(shape, position)}", f"expected a number, got {got}")
    if datatype not in INTEGERS:
        try:
            return np.array(numbers, np.float64).reshape(shape)
        except OverflowError as error:
            raise invalid(name, "a number is beyond float64") from error
    if float in kinds:
        raise invalid(name, f"expected whole numbers for {datatype}")
    least, most = np.iinfo(NUMBERS[datatype]).min, np.iinfo(NUMBERS[datatype]).max
    if numbers and not least <= min(numbers) <= max(numbers) <= most:
        raise invalid(name, f"expected numbers from {least} to {most} for {datatype}")
    return np.array(numbers, NUMBERS[datatype]).reshape(shape)


def _flat(name: str, shape: list[int], data: Any) -> list[Any]:
    size = math.prod(shape)
    expected = f"expected {size} numbers in one list, or nested as the shape {shape} says"
    if not isinstance(data, list):
        raise invalid(name, f"data: {expected}")
    if not (data and isinstance(data[0], list)):
        if len(data) != size:
            raise invalid(name, f"data: {expected}; got {len(data)}")
        return data
    level: list[Any] = [data]
    for length in shape:
        if not all(isinstance(part, list) and len(part) == length for part in level):
            raise invalid(name, f"data: {expected}")
        level = list(chain.from_iterable(level))
    return level


def _place(shape: list[int], position: int) -> str:
    """`[3][0][1]`: where in a tensor a number stands."""
    return "".join(f"[{index}]" for index in np.unravel_index(position, shape))


def checked_rows(spec: TensorSpec, datatype: str, values: Array, most_items: int) -> Array:
    """Numbers of any datatype as a program's input: shape, range and finiteness as its spec says.

    Shapes: values [item, *spec.shape] -> the same.
    Errors: ApiError 422, or 413 for too many items.
    """
    if values.ndim != 1 + len(spec.shape) or values.shape[1:] != spec.shape:
        raise invalid(spec.name, f"expected shape {[-1, *spec.shape]}, got {list(values.shape)}")
    if not len(values):
        raise invalid(spec.name, "expected at least one item")
    if len(values) > most_items:
        message = f"{spec.name}: more than {most_items} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"field": spec.name, "limit": most_items})
    # A number the dtype cannot hold would turn infinite in the cast.
    most = float(np.finfo(spec.dtype).max)
    low, high = spec.range or (-most, most)
    fine = (values >= low) & (values <= high)
    if not fine.all():
        position = int((~fine).argmax())
        value = values.reshape(-1)[position]
        expected = f"a number from {low:g} to {high:g}" if spec.range else f"a finite number of {spec.dtype}"
        hint = f"; {datatype} is taken as it is, not scaled" if datatype in INTEGERS else ""
        place = f"{spec.name}{_place(list(values.shape), position)}"
        raise invalid(place, f"expected {expected}, got {value:.9g}{hint}")
    return np.ascontiguousarray(values, spec.dtype)


def wire_bytes(datatype: str, values: Array) -> bytes:
    """A tensor as the binary extension has it: numbers little-endian, strings with their length in front."""
    if datatype == "BYTES":
        words = [word.encode() for word in values.reshape(-1).tolist()]
        return b"".join(struct.pack("<I", len(word)) + word for word in words)
    return np.ascontiguousarray(values, OUTPUTS[datatype]).tobytes()


def wire_list(datatype: str, values: Array) -> Any:
    """A tensor as JSON has it: flat, in row-major order."""
    if datatype == "BYTES":
        return values.reshape(-1).tolist()
    return np.ascontiguousarray(values, OUTPUTS[datatype]).reshape(-1)
