"""Grey values to a model's input, as its manifest says."""

import numpy as np

from node_model.manifest import TensorSpec
from service.api.pictures.frame import framed
from service.api.pictures.ink import ink_of
from service.api.pictures.item import item_of
from service.engine.stepper import Array

CUT = {"ink": ink_of, "item": item_of}


def prepare(grey: Array, spec: TensorSpec) -> Array:
    """Cut out what the picture shows and place it. `spec` is of a model that takes pictures.

    Shapes: grey [row, column] in 0..255 -> spec.shape, in spec.range.
    Errors: PictureError when nothing is to be seen.
    """
    assert spec.picture is not None  # noqa: S101 - told to the type checker
    assert spec.range is not None  # noqa: S101
    low, high = spec.range
    shown = framed(CUT[spec.picture.shows](grey), spec.shape, spec.picture)
    return np.asarray(low + (high - low) * shown, spec.dtype)
