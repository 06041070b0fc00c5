"""`odetrain report`: the page of tables and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import ending


def report(
    records: Annotated[Path, typer.Option(help="Folder of records.")] = Path("docs/runs"),
    out: Annotated[Path, typer.Option(help="The page; its pictures go into a folder beside it.")] = Path(
        "docs/paper.md"
    ),
) -> None:
    """Write the page with every table and picture, from the records of runs alone.

    Example: odetrain report
    """
    from training.report import write_report

    with ending.one_line_errors():
        write_report(records, out)
    typer.echo(f"{out}: written")
