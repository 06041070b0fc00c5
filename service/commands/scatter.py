"""Points of the plane as characters: where many are, the shade is darker."""

from typing import Any

from rich.text import Text

WIDTH, HEIGHT = 56, 20
SHADES = " .:-=+*#%@"


def scatter(points: Any, columns: int = WIDTH) -> Text:
    """Shades go by the square root of the counts, so that what is rare is seen too; no wider than `columns`.

    Shapes: points [n, 2].
    """
    import numpy as np

    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=(min(WIDTH, columns), HEIGHT))
    levels = np.ceil(np.sqrt(counts / counts.max()) * (len(SHADES) - 1)).astype(int)
    lines = ("".join(SHADES[level] for level in row) for row in levels.T[::-1])
    return Text("\n".join(lines), "cyan", no_wrap=True, overflow="crop")
