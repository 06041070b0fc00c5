"""Draw two pictures for POST /classify: a seven as PNG, and a four as a photo of a note, unevenly lit, as JPEG.

Run: python examples/draw_pictures.py
"""

from pathlib import Path

import numpy as np
from draw_digits import PEN, SIZE, STROKES
from PIL import Image, ImageDraw, ImageFilter

ROTATED = 6
"""EXIF orientation of a camera held upright."""


def drawn(digit: int, side: int, pixels: int) -> Image.Image:
    """Ink of a digit, white on black, so many pixels wide, in the middle of a square."""
    picture = Image.new("L", (side, side))
    scale, margin = pixels / SIZE, (side - pixels) / 2
    for stroke in STROKES[digit]:
        points = [(margin + x * scale, margin + y * scale) for x, y in stroke]
        ImageDraw.Draw(picture).line(points, fill=255, width=round(PEN * scale), joint="curve")
    return picture


def photo(ink: Image.Image) -> Image.Image:
    """Dark on paper, lit from one corner, with grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : ink.height * 1j, 0 : 1 : ink.width * 1j]
    stroke = np.asarray(ink.filter(ImageFilter.GaussianBlur(1.5)), float)[..., None] / 255
    paper, pen = np.array([235, 228, 210]), np.array([40, 45, 90])
    lit = (paper + (pen - paper) * stroke) * (1 - 0.4 * (x + y) / 2)[..., None]
    return Image.fromarray((lit + rng.normal(0, 4, lit.shape)).clip(0, 255).astype(np.uint8))


def main() -> None:
    """Write `examples/pictures/7.png` and `4.jpg`."""
    folder = Path(__file__).parent / "pictures"
    folder.mkdir(exist_ok=True)
    seven = drawn(7, 200, 160)
    Image.eval(seven, lambda value: 255 - value).convert("1").save(folder / "7.png", optimize=True)
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    held = photo(drawn(4, 480, 300)).transpose(Image.Transpose.ROTATE_90)
    held.save(folder / "4.jpg", quality=80, exif=exif)


if __name__ == "__main__":
    main()
