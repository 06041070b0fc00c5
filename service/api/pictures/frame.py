"""What was cut out of a picture, placed in a model's input as its training data were."""

import numpy as np

from node_model.manifest import PictureSpec
from service.api.pictures.scaling import largest_around, resized, within
from service.engine.stepper import Array

FINE = 8
"""Pixels for one of the box while strokes are thickened."""


def framed(cut: Array, shape: tuple[int, ...], picture: PictureSpec) -> Array:
    """Scale the longer side to the box, keeping proportions, and centre it.

    Shapes: cut [row, column] in 0..1, up to its edges -> shape, in 0..1.
    """
    if picture.stroke is not None:
        cut = _thickened(within(cut, FINE * picture.box), picture.box, picture.stroke)
    scale = picture.box / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    small = resized(cut, height, width).clip(0, 1)
    middle = _mass_centre(small) if picture.centre == "mass" else (height / 2, width / 2)
    whole = np.zeros(shape, np.float32)
    top, left = (
        min(max(int(np.floor(full / 2 - centre + 0.5)), 0), full - side)
        for full, centre, side in zip(shape, middle, (height, width), strict=True)
    )
    whole[top : top + height, left : left + width] = small
    return whole


def _mass_centre(values: Array) -> tuple[float, float]:
    """By the indices of pixels, so that in an even frame it comes to the pixel after the middle, as in MNIST."""
    mass = max(float(values.sum()), 1e-9)
    y, x = (float((values.sum(1 - axis) * np.arange(values.shape[axis])).sum()) / mass for axis in (0, 1))
    return y, x


def _thickened(cut: Array, box: int, stroke: float) -> Array:
    """Lines at least `stroke` pixels of the box wide, by the largest value around each pixel."""
    ink = cut > 0.5
    padded = np.pad(ink, 1)
    outline = int((padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum())
    scale = box / max(cut.shape)
    width = scale * 2 * float(ink.sum()) / max(outline, 1)
    reach = round((stroke - width) / scale / 2)
    return largest_around(np.pad(cut, reach), reach) if reach > 0 else cut
