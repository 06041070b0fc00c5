"""`odetrain odenet`: train an ODE-Net classifier."""

from typing import Annotated

import typer

from training.commands import ending, options, running
from training.config import RunConfig


def odenet(
    data: Annotated[str, typer.Option(help="mnist, fashion-mnist or digits.")],
    name: options.RunName = None,
    epochs: options.Epochs = 5,
    batch_size: options.BatchSize = 128,
    learning_rate: options.LearningRate = 2e-3,
    average: options.Average = 0.0,
    channels: options.Channels = 64,
    activation: Annotated[str, typer.Option(help="Of the field: relu, softplus or silu.")] = "relu",
    regularize: Annotated[str, typer.Option(help="none, kinetic, steer or ernode: for fewer evaluations.")] = "none",
    regularize_weight: Annotated[float, typer.Option(min=0, help="Weight of the kinetic or ernode penalty.")] = 0.01,
    augment: options.Augment = "shift",
    method: options.Method = "bosh3",
    tol: options.Tol = 1e-2,
    last_epochs: options.LastEpochs = 0,
    last_method: options.Method = "dopri5",
    last_tol: options.Tol = 1e-3,
    precision: options.Precision = "float32",
    last_precision: options.LastPrecision = "float32",
    seed: options.Seed = 0,
    threads: options.Threads = 2,
    device: options.Device = "cpu",
    data_dir: options.DataDir = None,
    resume: options.Resume = False,
) -> None:
    """Train an ODE-Net classifier by the adjoint method.

    Example: odetrain odenet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
    """
    with ending.one_line_errors():
        config = RunConfig(
            family="odenet",
            data=data,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            average=average,
            method=method,
            tol=tol,
            last_epochs=last_epochs,
            last_method=last_method,
            last_tol=last_tol,
            augment=augment,
            channels=channels,
            activation=activation,
            regularize=regularize,
            regularize_weight=regularize_weight,
            precision=precision,
            last_precision=last_precision,
            threads=threads,
            device=device,
        )
    running.run(config, name or f"odenet-{data}", data_dir, resume)
