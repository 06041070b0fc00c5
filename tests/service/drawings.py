"""Pictures for tests: drawn strokes, encoded in one way or another."""

import io

import numpy as np
from PIL import Image, ImageDraw

SEVEN = ((14, 12), (42, 12), (24, 46))


def seven(size=56, mode="L", ground=255, ink=0):
    """A seven of strokes."""
    picture = Image.new(mode, (size, size), ground)
    points = [(x * size / 56, y * size / 56) for x, y in SEVEN]
    ImageDraw.Draw(picture).line(points, fill=ink, width=max(1, size // 9), joint="curve")
    return picture


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()
