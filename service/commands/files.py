"""FILE as an argument: what it is told by its content, never by its name."""

import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

STDIN = Path("-")
MOST_ROWS = 5_000
"""Rows of a table that are sent at once."""


class Kind(StrEnum):
    """What a file is; the values are media types."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    NPY = "application/x-npy"
    JSON = "application/json"
    TABLE = "text/csv"


_WORDS = {
    Kind.PNG: "a PNG picture",
    Kind.JPEG: "a JPEG picture",
    Kind.NPY: "a .npy array",
    Kind.JSON: "a JSON body",
    Kind.TABLE: "a table of numbers (CSV)",
}
_BEGINNINGS = {b"\x89PNG": Kind.PNG, b"\xff\xd8\xff": Kind.JPEG, b"\x93NUMPY": Kind.NPY}
_BETWEEN = re.compile(r"[,;\s]+")


def argument(words: str) -> Any:
    """FILE with its help; - is standard input."""
    return typer.Argument(help=f"{words}; - is standard input.", metavar="FILE")


@dataclass(frozen=True)
class File:
    """A file that was read."""

    name: str
    content: bytes
    kind: Kind

    def wrong(self, message: str) -> typer.BadParameter:
        """The error for a file that is not as expected."""
        return typer.BadParameter(f"{self.name}: {message}", param_hint="FILE")


@dataclass(frozen=True)
class Part:
    """Rows to be sent at once, beginning with number `first`. `rows`: they, for people to see."""

    first: int
    content: bytes
    media_type: str
    rows: list[Any]


def read_file(path: Path, *expected: Kind) -> File:
    """Errors: BadParameter for a file that cannot be read, or is none of what is expected."""
    try:
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="FILE") from error
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if content.startswith(beginning)), None)
    if kind is None:
        kind = Kind.JSON if content.lstrip()[:1] in (b"{", b"[") else Kind.TABLE
    file = File("standard input" if path == STDIN else path.name, content, kind)
    if not content.strip():
        raise file.wrong("is empty")
    if kind not in expected:
        raise file.wrong(f"expected {' or '.join(_WORDS[one] for one in expected)}")
    return file


def array_of(file: File) -> Any:
    """Numbers of a .npy file or a table.

    Shapes: -> as the file says; a table [row, column].
    Errors: BadParameter.
    """
    import numpy as np

    if file.kind is Kind.TABLE:
        return np.array(_table(file))
    try:
        return np.load(io.BytesIO(file.content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise file.wrong(f"expected a .npy array of numbers: {error}") from error


def points_in(file: File) -> Iterator[Part]:
    """Points in parts that a server takes at once; a JSON body as it is. Errors: BadParameter."""
    if file.kind is Kind.JSON:
        yield Part(0, file.content, Kind.JSON, points_of(file))
        return
    import numpy as np

    points = array_of(file)
    points = points[None] if points.ndim == 1 else points
    if points.ndim != 2 or not len(points):
        raise file.wrong(f"expected points, [dimension] or [n, dimension]; got shape {list(points.shape)}")
    for first in range(0, len(points), MOST_ROWS):
        rows = points[first : first + MOST_ROWS]
        content = io.BytesIO()
        np.save(content, rows)
        yield Part(first, content.getvalue(), Kind.NPY, rows.tolist())


def points_of(file: File) -> list[Any]:
    """`point` or `points` of a JSON body, to show; none of a body that the server will not understand either."""
    try:
        body = json.loads(file.content)
        return list(body["points"] if "points" in body else [body["point"]])
    except (ValueError, KeyError, TypeError):
        return []


def _table(file: File) -> list[list[float]]:
    """Numbers with commas, semicolons or spaces between; a first line of names, and what follows # is passed over."""
    rows: list[list[float]] = []
    try:
        lines = file.content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise file.wrong(f"expected {' or '.join(_WORDS.values())}") from error
    named = False
    for number, line in enumerate(lines, 1):
        words = _BETWEEN.split(line.partition("#")[0].strip())
        if words == [""]:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            if rows or named:
                raise file.wrong(f"line {number}: expected numbers, got {line[:60]!r}") from None
            named = True
            continue
        if rows and len(row) != len(rows[0]):
            raise file.wrong(f"line {number}: expected {len(rows[0])} numbers as above, got {len(row)}")
        rows.append(row)
    if not rows:
        raise file.wrong("has no line of numbers")
    return rows
