"""`odetrain evaluate`: score an artifact on its test set."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import ending, options


def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Artifact directory, for instance checkpoints/odenet-mnist/1.")],
    tol: Annotated[list[float] | None, typer.Option(help="rtol and atol; may be repeated.")] = None,
    method: options.Method = "dopri5",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items of the test set.")] = None,
    write: Annotated[bool, typer.Option("--record", help="Write the scores into the manifest.")] = False,
    threads: options.Threads = 2,
    data_dir: options.DataDir = None,
) -> None:
    """Score an artifact on its test set, through its exported graphs.

    Example: odetrain evaluate checkpoints/odenet-mnist/1 --tol 1e-2 --tol 1e-5 --record
    """
    from training.evaluate import evaluate as score
    from training.evaluate import record

    failed = False
    with ending.one_line_errors():
        for one in tol or [1e-2]:
            scores = score(artifact, tol=one, method=method, limit=limit, data_dir=data_dir, threads=threads)
            measured = "  ".join(f"{key} {value:.5g}" for key, value in scores.metrics.items())
            typer.echo(f"tol {one:g} {method}: {measured}  NFE {scores.nfe_mean:.1f}  ({scores.items} items)")
            if scores.failed:
                typer.echo(f"  {scores.failed} items did not reach the end of the interval", err=True)
                failed = True
            if write:
                record(artifact, scores, one, method)
    if failed:
        raise typer.Exit(1)
