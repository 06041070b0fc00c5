"""`--out FILE`: results as an array, a table or JSON, by the file's suffix."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.ending import fail
from service.commands.options import OUTPUT

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write there: .npy the numbers, .csv a table, .json the answers.", rich_help_panel=OUTPUT
    ),
]


@dataclass(frozen=True)
class Results:
    """What may be written. `array`: numbers, one row an item, NaN for items that failed. `table`: names and rows."""

    documents: Sequence[Any]
    table: Callable[[], tuple[Sequence[str], Sequence[Sequence[Any]]]]
    array: Callable[[], Any] | None = None


def check_out(path: Path | None, *suffixes: str) -> None:
    """Before anybody is asked. Errors: BadParameter naming the suffixes there are, or a folder that is not there."""
    if path is None:
        return
    if path.suffix not in suffixes:
        raise typer.BadParameter(
            f"expected a file name that ends in {', '.join(suffixes)}; got {path}", param_hint="--out"
        )
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--out")


def write_out(path: Path | None, results: Results) -> None:
    """Write, and say so. Ends the command where that cannot be done."""
    if path is None:
        return
    try:
        path.write_bytes(_content(path.suffix, results))
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")
    typer.echo(f"{path}: written", err=True)


def _content(suffix: str, results: Results) -> bytes:
    if suffix == ".json":
        documents = list(results.documents)
        return json.dumps(documents[0] if len(documents) == 1 else documents).encode() + b"\n"
    if suffix == ".csv":
        names, rows = results.table()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *rows])
        return text.getvalue().encode()
    import numpy as np

    assert results.array is not None  # noqa: S101 - the suffix was checked
    file = io.BytesIO()
    np.save(file, np.asarray(results.array(), float))
    return file.getvalue()
