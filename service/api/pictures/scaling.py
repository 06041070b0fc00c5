"""Pictures made smaller or larger, and sums and extremes over neighbourhoods.

Shapes: values [row, column] float32; `reach` is that of a square of `2 reach + 1` pixels.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from service.engine.stepper import Array


def resized(values: Array, height: int, width: int) -> Array:
    """To another size, antialiased. Shapes: -> [height, width]."""
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def within(values: Array, longest: int) -> Array:
    """Made smaller, if need be, until neither side is above `longest`."""
    height, width = values.shape
    scale = min(1.0, longest / max(height, width))
    return values if scale == 1 else resized(values, max(1, round(height * scale)), max(1, round(width * scale)))


def sum_around(values: Array, reach: int) -> Array:
    """Sum over the square around each pixel, as far as it lies in the picture. -> float64."""
    table = np.pad(values.astype(np.float64), ((reach + 1, reach), (reach + 1, reach))).cumsum(0).cumsum(1)
    n = 2 * reach + 1
    return np.asarray(table[n:, n:] - table[:-n, n:] - table[n:, :-n] + table[:-n, :-n])


def mean_around(values: Array, reach: int, weight: Array | None = None) -> Array:
    """Weighted mean over the square around each pixel; 0 where nothing in it has weight."""
    weights = np.ones(values.shape) if weight is None else weight.astype(np.float64)
    total = sum_around(weights, reach)
    return np.where(total > 0.5, sum_around(values * weights, reach) / np.maximum(total, 0.5), 0).astype(np.float32)


def largest_around(values: Array, reach: int) -> Array:
    """The largest over the square around each pixel; what lies beyond the edge is as the edge is."""
    padded = np.pad(values, reach, mode="edge")
    rows = sliding_window_view(padded, 2 * reach + 1, axis=0).max(-1)
    return np.asarray(sliding_window_view(rows, 2 * reach + 1, axis=1).max(-1))


def smallest_around(values: Array, reach: int) -> Array:
    """The smallest."""
    return -largest_around(-values, reach)


def grown(mask: Array, reach: int) -> Array:
    """A mask and all that is within reach of it."""
    return sum_around(mask, reach) > 0.5
