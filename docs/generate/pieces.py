"""Pieces of Markdown."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_INNERMOST = re.compile(r"\[[^\[\]{}]*\]")
"""Lists of plain values, which fit a line."""
LIST_SHOWN = 6
"""Numbers of a list that an example shows before it says that there are more."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is no border."""
    lines = [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(" ".join(cell.split())).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text in which nothing but code and links is marked up: every second piece between backticks is code."""
    pieces = text.split("`")
    pieces[::2] = [piece.replace("<", "&lt;").replace("*", "\\*") for piece in pieces[::2]]
    return "`".join(pieces)


def code(text: object) -> str:
    """Text as it is, in a line."""
    return f"`{text}`"


def example(value: Any) -> str:
    """A value as a block of JSON, long lists cut short."""
    text = json.dumps(_short(value), indent=1, default=str)
    return f"```json\n{_INNERMOST.sub(lambda found: ' '.join(found[0].split()), text)}\n```\n"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(entry) for name, entry in value.items()}
    if isinstance(value, list) and len(value) > 2 * LIST_SHOWN:
        return [*map(_short, value[:LIST_SHOWN]), f"... {len(value)} in all"]
    return [_short(entry) for entry in value] if isinstance(value, list) else value


def page(title: str, introduction: str, *parts: str) -> str:
    """A page whose parts follow one another."""
    return "\n".join([f"# {title}\n", f"{introduction}\n", *parts])
