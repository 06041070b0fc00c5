"""Strokes on paper, or chalk on a board: taken out of an unevenly lit, noisy picture."""

import numpy as np

from service.api.pictures.errors import PictureError
from service.api.pictures.ground import contrast, darkest, noise
from service.api.pictures.patches import patches_of
from service.api.pictures.scaling import grown, mean_around
from service.engine.stepper import Array

LEAST_CONTRAST, LEAST_OVER_NOISE = 0.06, 7.0
GROUND = 25
"""Percentage of pixels of which it can be said that they are ground."""
LARGE = 160
"""Pixels of the longer side from which on a stroke is wide enough to be smoothed."""
INK, EDGE, FULL = 0.4, 0.2, 0.95
"""Shares of the usual contrast of ink: what is ink for certain, where its edge begins, where it is full."""


def ink_of(grey: Array) -> Array:
    """The strokes, cut out.

    Shapes: grey [row, column] in 0..255 -> [row, column] in 0..1, up to their edges.
    Errors: PictureError when there are none.
    """
    rough = contrast(grey)
    smooth = mean_around(rough, 1) if max(grey.shape) >= LARGE else rough
    most, grain = darkest(smooth), noise(rough) / (3 if smooth is not rough else 1)
    if most - float(np.percentile(smooth, GROUND)) < max(LEAST_CONTRAST, LEAST_OVER_NOISE * grain):
        raise PictureError("nothing stands out from its ground; expected dark strokes on light, or light ones on dark")
    usual = float(np.median(smooth[smooth > most / 2]))
    strokes = patches_of(smooth > max(INK * usual, 3 * grain), smooth).ink()
    near = grown(strokes, max(1, max(grey.shape) // 100))
    depth = np.clip((rough - EDGE * usual) / ((FULL - EDGE) * usual), 0, 1) * near
    rows, columns = np.flatnonzero(strokes.any(1)), np.flatnonzero(strokes.any(0))
    return np.asarray(depth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
