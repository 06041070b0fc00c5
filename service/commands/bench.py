"""`odeserve bench`: load a server as independent users do."""

import json
from pathlib import Path
from typing import Annotated

import typer

from service.commands import options
from service.commands.ending import ExitCode, fail
from service.commands.examples import examples

EPILOG = examples(
    "odeserve bench http://127.0.0.1:8000 --rate 100 --tol 1e-1 --tol 1e-3",
    "odeserve bench http://127.0.0.1:8000 --model cnf-two-moons --seconds 30 --out figures.json",
    "odeserve bench http://127.0.0.1:8000 --body examples/digits/7.json --query 'max_tol=1e-1&deadline_ms=100'",
)


def bench(
    url: Annotated[str, typer.Argument(help="Of a running server, for instance http://127.0.0.1:8000.")],
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second, at random times.")] = 50,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10,
    tol: Annotated[list[str] | None, typer.Option(help="May be repeated; each is asked for as often.")] = None,
    model: Annotated[str | None, typer.Option(help="Default: the first default, a classifier before others.")] = None,
    body: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="JSON bodies to send; default: drawn at random."),
    ] = None,
    query: Annotated[str, typer.Option(help="Further parameters of every request: max_tol=1e-1&deadline_ms=100")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the times, tolerances and bodies.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the figures there, as JSON.")] = None,
    api_key: options.ApiKey = None,
    as_json: options.JsonDocument = False,
) -> None:
    """Load a server as independent users do, and report latencies by tolerance.

    Requests are sent at random times whether or not earlier ones were answered; latency counts from the intended time.
    """
    from service.commands.console import counting, show
    from service.load.bench import BenchError, UnreachableError, run_bench
    from service.load.tables import bench_table

    chosen = {
        "rate": rate,
        "seconds": seconds,
        "tols": tol or ["1e-1", "1e-2", "1e-3", "1e-4"],
        "model": model,
        "query": query,
        "bodies": [path.read_bytes() for path in body or ()],
        "seed": seed,
        "api_key": api_key,
    }
    try:
        with counting("asking") as progress:
            figures = run_bench(url, **chosen, progress=progress)
    except BenchError as error:
        fail(error, ExitCode.UNREACHABLE if isinstance(error, UnreachableError) else ExitCode.FAILED)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        show(bench_table(figures))
    if out:
        try:
            out.write_text(json.dumps(figures, indent=1) + "\n")
        except OSError as error:
            fail(f"{out}: cannot be written: {error.strerror}")
