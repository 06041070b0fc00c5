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
    from service.tls import TlsError

    try:
        serve_until_stopped(read_settings(), host, port, announce=typer.echo)
    except (SettingsError, ArtifactError, ServeError, TlsError) as error:
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
    """Check that an artifact is whole and unaltered, loads, and solves with every method: exit code 0, else 1."""
    from node_model.errors import ArtifactError
    from service.check import check_artifact

    try:
        for line in check_artifact(directory):
            typer.echo(line)
    except ArtifactError as error:
        _fail(error)


@app.command()
def bench(
    url: Annotated[str, typer.Argument(help="Of a running server, for instance http://127.0.0.1:8000.")],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second, at random times.")] = 50,
    seconds: Annotated[float, typer.Option(min=0.1)] = 10,
    tol: Annotated[list[str] | None, typer.Option(help="May be repeated; each is asked for as often.")] = None,
    model: Annotated[str | None, typer.Option(help="Default: the server's.")] = None,
    body: Annotated[list[Path] | None, typer.Option(help="JSON bodies to send; default: drawn at random.")] = None,
    query: Annotated[str, typer.Option(help="Further parameters of every request: max_tol=1e-1&deadline_ms=100")] = "",
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="Write the figures there, as JSON.")] = None,
) -> None:
    """Load a server as independent users do, and report latencies by tolerance.

    Requests are sent at random times whether or not earlier ones were answered; latency counts from the intended time.

    Example: odeserve bench http://127.0.0.1:8000 --rate 100 --tol 1e-1 --tol 1e-3
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from service.load.bench import BenchError, run_bench
    from service.load.tables import bench_table

    bodies = [path.read_bytes() for path in body or ()]
    tols = tol or ["1e-1", "1e-2", "1e-3", "1e-4"]
    options = {
        "rate": rate,
        "seconds": seconds,
        "tols": tols,
        "model": model,
        "query": query,
        "bodies": bodies,
        "seed": seed,
    }
    with Progress(transient=True) as shown:
        task = shown.add_task("asking")
        try:
            figures = run_bench(
                url, **options, progress=lambda done, total: shown.update(task, completed=done, total=total)
            )
        except BenchError as error:
            _fail(error)
    Console().print(bench_table(figures))
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    app()
