"""`odetrain cnf`: train a continuous normalizing flow."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import ending, options, running
from training.config import RunConfig


def cnf(
    data: Annotated[
        str, typer.Option(help="two-moons, pinwheel, 8gaussians, checkerboard, protein, or a .npy or .csv file.")
    ],
    name: options.RunName = None,
    epochs: Annotated[int, typer.Option(min=1, help="An epoch of a toy is 100,000 fresh points.")] = 15,
    batch_size: options.BatchSize = 512,
    learning_rate: options.LearningRate = 3e-3,
    average: options.Average = 0.0,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers.")] = "64,64,64",
    warp: Annotated[bool, typer.Option("--warp", help="Draw heavy tails in before the flow; for tables.")] = False,
    trace: Annotated[str, typer.Option(help="Of the training loss: exact or hutchinson.")] = "exact",
    objective: Annotated[
        str, typer.Option(help="likelihood, or flow-matching: no solves, a hundred times cheaper, not quite as exact.")
    ] = "likelihood",
    start_from: Annotated[str, typer.Option(help="A run whose weights are the first, by its name.")] = "",
    method: options.Method = "dopri5",
    tol: options.Tol = 1e-4,
    last_epochs: options.LastEpochs = 0,
    last_method: options.Method = "dopri5",
    last_tol: options.Tol = 1e-3,
    seed: options.Seed = 0,
    threads: options.Threads = 2,
    device: options.Device = "cpu",
    data_dir: options.DataDir = None,
    resume: options.Resume = False,
) -> None:
    """Train a continuous normalizing flow by the adjoint method.

    Example: odetrain cnf --data two-moons
    """
    with ending.one_line_errors():
        config = RunConfig(
            family="cnf",
            data=data,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            average=average,
            warp=warp,
            trace=trace,
            objective=objective,
            start_from=start_from,
            method=method,
            tol=tol,
            last_epochs=last_epochs,
            last_method=last_method,
            last_tol=last_tol,
            hidden=_widths(hidden),
            threads=threads,
            device=device,
        )
    running.run(config, name or f"cnf-{Path(data).stem}", data_dir, resume)


def _widths(text: str) -> tuple[int, ...]:
    """`64,64,64` as numbers. Errors: ValueError naming the option."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"--hidden: expected whole numbers above 0 with a comma between, as 64,64,64; got {text!r}")
    return tuple(map(int, words))
