"""The ground of a picture, paper or board: how bright it is at each place, and how far what is on it stands out."""

import numpy as np

from service.api.pictures.patches import patches_of
from service.api.pictures.scaling import grown, largest_around, mean_around, resized, smallest_around, within
from service.engine.stepper import Array

WIDEST = (0.2, 64)
NARROWER = ((0.025, 256), (0.07, 128))
"""Half of what the widest stroke may take of the picture's longer side, and pixels of that side in which the ground is
looked for; narrowest first."""
COARSE = 256
"""Pixels of the longer side of the picture from which the ground is taken."""
EDGE = 32
"""The same for whether the ground is light."""
ROUNDS = 4
LEAST_GROUND = 32.0
"""Grey value below which dark ink cannot be told from a shadow."""
DARKEST = 99.95
"""Percentage of pixels that stand out less than ink does."""
STROKE, STRONG = 0.4, 0.8
"""Shares of that contrast: what may be a stroke, what must be one."""
KEPT = 0.9
STANDING = 0.7
"""Share of the strong pixels that must go on standing out from a narrower ground, and by what share of before."""


def contrast(grey: Array) -> Array:
    """How far each pixel stands out from the ground, whichever of the two is the darker; 0 is the ground.

    Dark ink takes a share of the light that falls on the paper, which may be uneven: the contrast is that share. Light
    strokes on a dark ground add to it.

    Shapes: grey [row, column] in 0..255 -> [row, column].
    """
    light = has_light_ground(grey)
    upside = grey if light else 255 - grey
    coarse = within(upside, COARSE)
    reach, ground = _ground(coarse, light)
    # Now that the strokes are known roughly, the ground is what lies between them.
    first, pixels = _standing_out(coarse, ground, light), max(1, int(reach * max(coarse.shape)))
    clear = ~grown(first > STROKE * darkest(first), 1)
    trust = np.clip(4 * mean_around(clear.astype(np.float32), pixels), 0, 1)
    between = trust * mean_around(coarse, pixels, clear) + (1 - trust) * ground
    return _standing_out(upside, resized(between, *upside.shape), light)


def darkest(contrasts: Array) -> float:
    """The contrast of ink, if there is any."""
    return float(np.percentile(contrasts, DARKEST))


def has_light_ground(grey: Array) -> bool:
    """Whether the ground is lighter than what is on it: most of a picture is ground, and most of its edge.

    A plane is taken off first, since uneven light may differ more than ink does.
    """
    coarse = within(grey, EDGE)
    height, width = coarse.shape
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y])
    values = coarse.ravel().astype(np.float64)
    weight = np.ones_like(values)
    rest = values
    for _ in range(ROUNDS):
        # Plain sums: so small a product is not worth waking other threads for.
        normal = np.einsum("ip,jp,p->ij", terms, terms, weight) + 1e-6 * len(values) * np.eye(len(terms))
        plane = np.linalg.solve(normal, np.einsum("ip,p,p->i", terms, weight, values))
        rest = values - np.einsum("i,ip->p", plane, terms)
        weight = 1 / (1 + (rest / (1.5 * np.median(np.abs(rest)) + 1e-6)) ** 2)
    level = rest.reshape(height, width)
    low, high = np.percentile(level, (1, 99))
    edge = np.median(np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]]))
    # Of the two the one that is the farther from the middle decides.
    return bool(edge + np.median(level) >= low + high)


def _standing_out(upside: Array, ground: Array, light: bool) -> Array:
    return np.asarray((ground - upside) / (np.maximum(ground, LEAST_GROUND) if light else 255.0), np.float32)


def _ground(coarse: Array, light: bool) -> tuple[float, Array]:
    """The ground as if there were nothing on it, looked for in windows as small as they may be while the strokes still
    stand out: the smaller they are, the less does the edge of a shadow look like a stroke.

    Shapes: -> reach, as a share of the longer side; ground [row, column].
    """
    reach, size = WIDEST
    ground = _closed(coarse, reach, size)
    widest = _standing_out(coarse, ground, light)
    ink = patches_of(widest > STRONG * darkest(widest), widest).ink()
    for narrow, fine in NARROWER if ink.any() else ():
        closer = _closed(coarse, narrow, fine)
        if (_standing_out(coarse, closer, light)[ink] > STANDING * widest[ink]).mean() >= KEPT:
            return narrow, closer
    return reach, ground


def _closed(values: Array, reach: float, size: int) -> Array:
    """A grey closing: what is dark and narrower than the window is filled, slopes and wide shadows are kept.

    Source: Serra, Image Analysis and Mathematical Morphology (1982), XII: the top-hat transform.
    """
    coarse = within(values, size)
    pixels = max(1, round(reach * max(coarse.shape)))
    around = np.pad(coarse, pixels, mode="edge")
    closed = smallest_around(largest_around(around, pixels), pixels)[pixels:-pixels, pixels:-pixels]
    return resized(closed, *values.shape)


def noise(values: Array) -> float:
    """Standard deviation of what differs from pixel to pixel, not moved by the few that stand out."""
    return float(1.4826 * np.median(np.abs(np.diff(values, axis=1))) / np.sqrt(2)) if values.shape[1] > 1 else 0.0
