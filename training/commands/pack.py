"""`odetrain pack`: an artifact of a model of one's own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from node_model.manifest import read_manifest
from training.commands import ending, options
from training.commands.calibration_table import calibration_tables


def pack(
    package: Annotated[str, typer.Argument(help="module:function that builds a node_model.own.OwnModel.")],
    name: Annotated[str, typer.Option(help="Of the model, as requests will have it.")],
    example: Annotated[Path, typer.Option(help="Inputs as .npy [item, ...]; with arguments, by name in an .npz.")],
    version: Annotated[str, typer.Option("--version", help="A whole number.")] = "1",
    calibrate_on: Annotated[
        Path | None, typer.Option("--calibrate", help="Inputs to measure cost and error on; default the example's.")
    ] = None,
    items: Annotated[int, typer.Option(min=100, help="How many of them at most.")] = 2_000,
    out: Annotated[Path, typer.Option(help="Folder of artifacts.")] = Path("checkpoints"),
    torch_only: Annotated[
        bool, typer.Option("--torch-only", help="Without graphs, where an operator has no form in ONNX.")
    ] = False,
    seed: options.Seed = 0,
    threads: options.Threads = 2,
) -> None:
    """Make an artifact of a model of your own: checked, exported, compared with its modules, calibrated.

    Example: odetrain pack my_model:build --name my-model --example inputs.npy
    """
    from training.pack import PackOrder, Telling
    from training.pack import pack as make

    measured_on = f" --calibrate {calibrate_on.name}" if calibrate_on else ""
    command = (
        f"odetrain pack {package} --name {name} --version {version} --example {example.name}{measured_on} "
        f"--items {items} --seed {seed}{' --torch-only' if torch_only else ''}"
    )
    order = PackOrder(package, name, version, example, calibrate_on, out, items, seed, threads, command, torch_only)
    console = Console()
    telling = Telling(
        holds=lambda line: console.print(f"[green]ok[/] {escape(line)}", highlight=False, soft_wrap=True),
        doing=lambda what: console.status(escape(what)),
    )
    with ending.one_line_errors():
        directory = make(order, telling)
    for table in calibration_tables(read_manifest(directory)):
        console.print(table)
    typer.echo(f"{directory}: written")
    if torch_only:
        typer.echo(f"next: install a package that declares {package} as an entry point of odeserve.models")
    backend = "ODESERVE_BACKEND=torch " if torch_only else ""
    typer.echo(f"next: {backend}ODESERVE_MODELS_DIR={out} odeserve serve")
