"""Draw ten handwritten-looking digits and write them as bodies for POST /classify, one JSON file each.

Run: python examples/draw_digits.py
"""

import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

SIZE, OVERSAMPLING, PEN = 28, 8, 2.6
Point = tuple[float, float]


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse from one angle to another, in degrees, clockwise from the right."""
    steps = 24
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


# Strokes in pixels of the 28 x 28 picture, drawn inside the middle 20 x 20 as in MNIST.
STROKES: dict[int, list[list[Point]]] = {
    0: [arc(14, 14, 6, 9, 0, 360)],
    1: [[(11, 8), (14.5, 5), (14, 23)]],
    2: [[*arc(14, 10, 5.5, 5, 190, 385), (8.5, 22.5), (20, 22)]],
    3: [arc(13.5, 9.5, 5, 4.5, 200, 440) + arc(13.5, 18.5, 5.5, 5, 275, 510)],
    4: [[(11, 5), (8.5, 14.5), (19, 14)], [(18, 6), (16.5, 23)]],
    5: [[(19, 5.5), (10.5, 5.5), (9.5, 13), *arc(13.5, 17.5, 5.5, 5, 225, 510)]],
    6: [[(17, 5), (11, 11), *arc(14, 18, 5, 5, 200, 560)]],
    7: [[(8, 6), (20, 6), (12.5, 23)]],
    8: [arc(14, 9.5, 4.3, 4.5, 90, 450), arc(14, 18.5, 5, 4.7, -90, 270)],
    9: [[*arc(14, 10, 4.8, 5, 0, 360), (18.8, 10), (17, 23)]],
}


def draw(digit: int) -> list[list[float]]:
    """Ink in 0..1, white on black. Shapes: -> [28][28]."""
    picture = Image.new("L", (SIZE * OVERSAMPLING, SIZE * OVERSAMPLING))
    pen = ImageDraw.Draw(picture)
    radius = PEN / 2 * OVERSAMPLING
    for stroke in STROKES[digit]:
        points = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in stroke]
        pen.line(points, fill=255, width=round(2 * radius), joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    small = picture.resize((SIZE, SIZE), Image.Resampling.BOX)
    ink = small.tobytes()
    return [[round(ink[row * SIZE + column] / 255, 3) for column in range(SIZE)] for row in range(SIZE)]


def main() -> None:
    """Write `examples/digits/<digit>.json`."""
    folder = Path(__file__).parent / "digits"
    folder.mkdir(exist_ok=True)
    for digit in STROKES:
        path = folder / f"{digit}.json"
        path.write_text(json.dumps({"image": draw(digit)}) + "\n")
        print(path)


if __name__ == "__main__":
    main()
