"""odeserve: the server, from the shell."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(no_args_is_help=True, help="Serve neural ODEs with the tolerance as a request parameter.")

# Imports of the server are inside the commands: --help should not wait for them.


def _fail(message: object) -> NoReturn:
    """One clear line, and a non-zero exit."""
    typer.echo(f"odeserve: {message}", err=True)
    raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8000,
) -> None:
    """Answer HTTP requests until interrupted. Settings are ODESERVE_* variables of the environment."""
    from node_model.errors import ArtifactError
    from service.serve import ServeError, serve_until_stopped
    from service.settings import SettingsError, read_settings

    try:
        serve_until_stopped(read_settings(), host, port, announce=typer.echo)
    except (SettingsError, ArtifactError, ServeError) as error:
        _fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def models() -> None:
    """List the artifacts that `serve` would load."""
    from rich.console import Console
    from rich.table import Table

    from node_model.errors import ArtifactError
    from node_model.manifest import read_manifest
    from service.models import find_artifacts
    from service.settings import SettingsError, read_settings

    try:
        manifests = [read_manifest(path) for path in find_artifacts(read_settings())]
    except (SettingsError, ArtifactError) as error:
        _fail(error)
    table = Table("model", "version", "task", "program", "methods", "tol", "parameters")
    for manifest in manifests:
        for name, program in manifest.programs.items():
            tol = f"{program.tol.tightest:g} to {program.tol.loosest:g}"
            words = (manifest.name, manifest.version, manifest.task, name, ", ".join(program.methods), tol)
            table.add_row(*words, f"{manifest.parameters:,}")
    Console().print(table)


@app.command()
def check(directory: Annotated[Path, typer.Argument(help="An artifact, <model>/<version>.")]) -> None:
    """Check that an artifact is whole and unaltered, loads, and solves with every method."""
    from node_model.errors import ArtifactError
    from service.check import check_artifact

    try:
        for line in check_artifact(directory):
            typer.echo(line)
    except ArtifactError as error:
        _fail(error)


if __name__ == "__main__":
    app()
