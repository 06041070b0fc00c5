"""`odetrain study`: measure what was trained, for the record."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import ending, options


def study(
    directories: Annotated[list[Path], typer.Argument(help="Of runs, as runs/odenet-mnist, or of artifacts.")],
    brief: Annotated[bool, typer.Option("--brief", help="A classifier at tol 1e-3 and as served only.")] = False,
    data_dir: options.DataDir = None,
) -> None:
    """Measure what was trained on its test set and write a record of each into docs/runs/.

    Example: odetrain study runs/odenet-mnist
    """
    from training.studies import study as measure

    with ending.one_line_errors():
        for directory in directories:
            typer.echo(f"{measure(directory, data_dir, brief=brief)}: written")
    typer.echo("next: odetrain report")
