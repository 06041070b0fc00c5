"""`odetrain calibrate`: measure an artifact."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands import ending, options
from training.commands.calibration_table import calibration_tables


def calibrate(
    artifact: Annotated[Path, typer.Argument(help="Artifact directory, for instance checkpoints/odenet-mnist/1.")],
    items: Annotated[int, typer.Option(min=100, help="How many held-back items to measure on.")] = 5_000,
    between: Annotated[
        bool, typer.Option("--between", help="Only NFE between the rows there are: minutes, no reference.")
    ] = False,
    threads: options.Threads = 2,
    data_dir: options.DataDir = None,
) -> None:
    """Measure what each tolerance costs and how wrong it is, and write the table into the manifest.

    Example: odetrain calibrate checkpoints/odenet-mnist/1
    """
    from training.calibrate import calibrate as measure

    command = f"odetrain calibrate {artifact} --items {items}{' --between' if between else ''}"
    with ending.one_line_errors():
        manifest = measure(artifact, items=items, data_dir=data_dir, threads=threads, command=command, between=between)
    for table in calibration_tables(manifest):
        Console().print(table)
