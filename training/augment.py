"""Training images moved a little, so that the network sees no image twice."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from training.data import Floats

AUGMENTATIONS = ("shift", "affine")
DEGREES, STRETCH, SHEAR = 10.0, 0.1, 0.1
"""Reach of the affine map beside its shift: turn, change of scale each way, shear."""


def augmented(images: Floats, rng: np.random.Generator, kind: str) -> Floats:
    """Each image shifted by whole pixels, or mapped by a small affine map. Shapes: [item, height, width].

    Shifts reach a 14th of the width: 2 pixels of 28, none of 8.
    """
    reach = images.shape[-1] // 14
    return affine(images, rng, reach) if kind == "affine" else shifted(images, rng, reach)


def shifted(images: Floats, rng: np.random.Generator, reach: int) -> Floats:
    """Each image moved by up to `reach` pixels both ways, zeros moving in. Shapes: [item, height, width]."""
    count, height, width = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    offsets = rng.integers(0, 2 * reach + 1, (count, 2))
    rows = offsets[:, 0, None] + np.arange(height)
    columns = offsets[:, 1, None] + np.arange(width)
    moved: Floats = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def affine(images: Floats, rng: np.random.Generator, reach: int) -> Floats:
    """Each image turned, scaled, sheared and moved by up to `reach` pixels; bilinear, zeros moving in.

    Shapes: [item, height, width].
    """
    count, _, width = images.shape
    turn = np.deg2rad(rng.uniform(-DEGREES, DEGREES, count))
    shear = rng.uniform(-SHEAR, SHEAR, count)
    scale_x, scale_y = np.exp(rng.uniform(-math.log1p(STRETCH), math.log1p(STRETCH), (2, count)))
    shift_x, shift_y = rng.uniform(-reach, reach, (2, count)) * 2 / width
    cos, sin = np.cos(turn), np.sin(turn)
    # rotation after shear after scaling: where each pixel of the new image is read from, the image being [-1, 1]^2
    rows = np.stack(
        [
            np.stack([scale_x * cos, scale_y * (shear * cos - sin), shift_x], 1),
            np.stack([scale_x * sin, scale_y * (shear * sin + cos), shift_y], 1),
        ],
        1,
    )
    pixels = torch.from_numpy(images)[:, None]
    grid = F.affine_grid(torch.from_numpy(rows.astype(np.float32)), list(pixels.shape), align_corners=False)
    moved: Floats = F.grid_sample(pixels, grid, align_corners=False)[:, 0].numpy()
    return moved
