"""What can be said of the plain values in a description of one's own model: names, shapes, ranges, parts."""

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from node_model.strict import NAME


def check_names(where: str, names: Iterable[str], reserved: frozenset[str] = frozenset()) -> None:
    """Whether a manifest and the graphs can have these names. Errors: ValueError."""
    listed = list(names)
    if isinstance(names, str) or len(set(listed)) < len(listed):
        raise ValueError(f"{where}: expected a tuple of names, none of them twice; got {names!r}")
    for name in listed:
        if not re.fullmatch(NAME, name):
            raise ValueError(f"{where}: {name!r}: expected letters, digits, '.', '_' and '-'")
        if name in reserved:
            raise ValueError(
                f"{where}: {name!r} means something else in graphs or files of examples; take another name"
            )


def check_shape(where: str, shape: object) -> None:
    """Whether this is the shape of an item. Errors: ValueError."""
    if not isinstance(shape, tuple | list):
        raise ValueError(f"{where}: expected a tuple such as (2,), got {shape!r}")
    if not all(map(_is_size, shape)):
        raise ValueError(f"{where}: expected whole numbers from 1, as (2,); got {shape!r}")


def check_range(where: str, given: object) -> None:
    """Whether this is a least and a largest value, or None. Errors: ValueError."""
    if given is None:
        return
    two = isinstance(given, tuple | list) and len(given) == 2 and all(map(_is_finite, given))
    if not two or given[0] > given[1]:  # type: ignore[index]
        raise ValueError(f"{where}: expected two finite numbers, the lower first, as (0.0, 1.0); got {given!r}")


def check_parts(where: str, parts: object) -> None:
    """Whether these are names with sizes, or None. Errors: ValueError."""
    if parts is None:
        return
    if not isinstance(parts, Mapping) or not all(map(_is_size, parts.values())):
        raise ValueError(f"{where}: expected names with sizes, whole numbers from 1, as {{'x': 2}}; got {parts!r}")
    check_names(where, parts)


def _is_size(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) > 0


def _is_finite(value: object) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    )
