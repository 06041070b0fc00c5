"""One thing on a plain ground, with its shades: a garment as a shop shows it."""

import numpy as np

from service.api.pictures.errors import PictureError
from service.api.pictures.ground import noise
from service.api.pictures.patches import patches_of
from service.api.pictures.scaling import mean_around
from service.engine.stepper import Array

CORNER = 16
"""A corner is this part of a side."""
TRIM = 0.05
"""Share of the full range within which an edge is the ground's."""
SPECK = 0.05


def item_of(grey: Array) -> Array:
    """The thing in its shades, the ground 0: negated where the ground is light.

    Shapes: grey [row, column] in 0..255 -> [row, column] in 0..1, up to its edges.
    Errors: PictureError when the picture is all ground.
    Source: Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, section 2: trimmed to the corners' colour within 5 %, negated.
    """
    height, width = grey.shape
    y, x = max(1, height // CORNER), max(1, width // CORNER)
    rows_at, columns_at = (slice(y), slice(-y, None)), (slice(x), slice(-x, None))
    corners = np.array([[np.median(grey[rows, columns]) for columns in columns_at] for rows in rows_at])
    light = np.median(corners) > 127.5
    ground = _between(corners, height, width)
    shades = (ground - grey) / np.maximum(ground, 1) if light else (grey - ground) / np.maximum(255 - ground, 1)
    shades = shades.clip(0, 1).astype(np.float32)
    rough = noise(grey) / 255
    smooth = mean_around(shades, 1) if rough > TRIM / 10 else shades
    patches = patches_of(smooth > TRIM + 2 * rough, shades)
    if not len(patches.weight):
        raise PictureError("nothing stands out from its ground; expected one thing on a plain ground")
    seen = np.append(patches.weight >= SPECK * patches.weight.max(), False)[patches.labels]
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.asarray(shades[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _between(corners: Array, height: int, width: int) -> Array:
    """The ground that lies between its four corners. Shapes: corners [2, 2] -> [height, width]."""
    down, along = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    top, bottom = (a + (b - a) * along for a, b in corners)
    return np.asarray(top + (bottom - top) * down)
