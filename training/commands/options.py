"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path | None, typer.Option(help="Folder with the data files; default ODETRAIN_DATA, else download.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped, bit for bit.")]
RunName = Annotated[str | None, typer.Option("--name", help="Folder under ODETRAIN_RUNS (default runs/).")]

Epochs = Annotated[int, typer.Option(min=1, help="Times through the training data.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Items a step of the optimiser sees.")]
LearningRate = Annotated[float, typer.Option(min=0, help="Of Adam, at its highest.")]
Average = Annotated[float, typer.Option(help="Decay of the average of the weights that is scored; 0 for none.")]
Method = Annotated[str, typer.Option(help="Runge-Kutta method of the solves.")]
Tol = Annotated[float, typer.Option(help="rtol and atol of both solves.")]
LastEpochs = Annotated[int, typer.Option(min=0, help="Epochs at the end with --last-method, -tol, -precision.")]
Augment = Annotated[str, typer.Option(help="shift, or affine: also turned, scaled and sheared a little.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: the networks under autocast.")]
LastPrecision = Annotated[str, typer.Option(help="Precision of the --last-epochs.")]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads of PyTorch.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")]
Channels = Annotated[int, typer.Option(min=1, help="Width of the network.")]
