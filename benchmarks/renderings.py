"""Test images of a data set made into pictures again, as somebody might send them."""

from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def rendered(
    image: Array,
    rng: np.random.Generator,
    *,
    scale: int = 3,
    light: float = 0.5,
    noise: float = 6.0,
    ground: float | None = None,
) -> Array:
    """An image in 0..1 as a grey picture: dark on light, larger, off centre, unevenly lit, noisy.

    `light`: how much of it is missing at the darkest end; `noise` in grey values; `ground`: the paper's grey value.

    Shapes: image [28, 28] -> [row, column] uint8.
    """
    side = scale * len(image)
    large = Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    height, width = rng.integers(int(1.2 * side), int(2.2 * side), 2)
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    ink = np.zeros((height, width))
    ink[top : top + side, left : left + side] = np.asarray(large).clip(0, 1)
    paper, pen = rng.uniform(200, 245) if ground is None else ground, rng.uniform(20, 90)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x + np.sin(angle) * y
    slope = (slope - slope.min()) / np.ptp(slope)
    lit = (paper + (pen - paper) * ink) * (1 - light * slope ** rng.uniform(0.7, 1.5))
    return (lit + rng.normal(0, noise, lit.shape)).clip(0, 255).round().astype(np.uint8)
