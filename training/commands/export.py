"""`odetrain export`: the artifact of a run, or the single file of an artifact."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import ending, options


def export(
    run: Annotated[
        Path,
        typer.Argument(help="Run, for instance runs/odenet-mnist; with --single-file an artifact, checkpoints/..."),
    ],
    name: Annotated[str | None, typer.Option(help="Model name; default the run's.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="A whole number; default 1.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of artifacts, default checkpoints; with --single-file the file."),
    ] = None,
    data_dir: options.DataDir = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One ONNX file of an artifact: the whole solve, tol as an input.")
    ] = False,
    program: Annotated[
        str | None, typer.Option(help="Of a single file: classify, log_density, sample ...; default the task's.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Of a single file; default dopri5.")] = None,
    stops: Annotated[bool, typer.Option("--stops", help="A single file that answers at times, an input t.")] = False,
) -> None:
    """Write the artifact of a run: weights, graphs, manifest. Then `odetrain calibrate` it.

    With --single-file an artifact becomes one ONNX file, for any ONNX Runtime, in the browser too, with no service.

    Example: odetrain export runs/odenet-mnist

    Example: odetrain export --single-file checkpoints/odenet-mnist/1 --out odenet-mnist.onnx
    """
    if single_file:
        ending.refuse("--single-file", name=name, version=version, data_dir=data_dir)
        from training.single_file_export import FileOrder, export_single_file

        with ending.one_line_errors():
            file = export_single_file(FileOrder(run, out, program, method, stops))
        typer.echo(f"{file}: written, {file.stat().st_size:,} bytes")
        return
    ending.refuse("a run", program=program, method=method, stops=stops or None)
    from training.artifact import export_run

    with ending.one_line_errors():
        directory = export_run(run, name or run.name, version or "1", out or Path("checkpoints"), data_dir)
    typer.echo(f"{directory}: written\nnext: odetrain calibrate {directory}")
