"""How every picture of the report looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 110,
}


@contextmanager
def picture(path: Path, rows: int, columns: int, size: tuple[float, float]) -> Iterator[Any]:
    """Axes [row][column] to draw on; the file is written at the end. Units: size of one of them in inches."""
    with plt.rc_context(STYLE):
        width, height = columns * size[0], rows * size[1]
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
        yield axes
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def shown(pictures: Path, name: str, says: str) -> str:
    """Markdown of a picture beside the page."""
    return f"![{says}]({pictures.name}/{name})"
