"""`odetrain baseline`: train a network to set beside."""

from typing import Annotated

import typer

from training.commands import ending, options, running
from training.config import BASELINES, RunConfig


def baseline(
    family: Annotated[str, typer.Argument(help="mlp, resnet or rknet; planar.")],
    data: Annotated[str, typer.Option(help="As of odenet; planar: as of cnf.")],
    name: options.RunName = None,
    epochs: options.Epochs = 5,
    batch_size: options.BatchSize = 128,
    learning_rate: options.LearningRate = 2e-3,
    average: options.Average = 0.0,
    channels: options.Channels = 64,
    layers: Annotated[int, typer.Option(min=1, help="Of a planar flow.")] = 8,
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
    """Train a network to set beside the ODE-Net (mlp, resnet, rknet: its field, gradients through the solver) or CNF.

    Example: odetrain baseline resnet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
    """
    with ending.one_line_errors():
        if family not in BASELINES:
            raise ValueError(f"family: expected one of {', '.join(BASELINES)}; got {family!r}")
        config = RunConfig(
            family=family,
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
            layers=layers,
            precision=precision,
            last_precision=last_precision,
            threads=threads,
            device=device,
        )
    running.run(config, name or f"{family}-{data}", data_dir, resume)
