"""odetrain: training, from the shell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node_model.errors import SolveFailedError
from node_model.manifest import Manifest
from training.config import BASELINES, RunConfig

EPILOG = """Examples:
  odetrain odenet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
  odetrain export runs/odenet-digits
  odetrain calibrate checkpoints/odenet-digits/1 --items 300"""

app = typer.Typer(
    no_args_is_help=True, epilog=EPILOG, help="Train neural ODEs and make artifacts that odeserve serves."
)

DataDir = Annotated[Path | None, typer.Option(help="Folder with the data files; default ODETRAIN_DATA, else download.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped, bit for bit.")]
RunName = Annotated[str | None, typer.Option("--name", help="Folder under ODETRAIN_RUNS (default runs/).")]


_CONSOLE = Console()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """What a user can put right is said in a line; anything else keeps its traceback."""
    try:
        yield
    except (ValueError, OSError, FloatingPointError, SolveFailedError) as error:
        raise SystemExit(f"odetrain: {error}") from error


def _widths(text: str) -> tuple[int, ...]:
    """`64,64,64` as numbers. Errors: ValueError naming the option."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f"--hidden: expected whole numbers above 0 with a comma between, as 64,64,64; got {text!r}")
    return tuple(map(int, words))


def calibration_tables(manifest: Manifest) -> Iterator[Table]:
    """A table per program: what each tolerance costs and how wrong it is."""
    columns = ("nfe_mean", "nfe_p50", "nfe_p99", "error_rms", "error_p99", "metric", "agreement", "first_dt")
    for name, program in manifest.programs.items():
        if program.calibration is None:
            continue
        table = Table("method", "tol", *columns, title=f"{manifest.name} {name}, errors in {program.calibration.unit}")
        for row in program.calibration.rows:
            values = [getattr(row, column) for column in columns]
            cells = ["-" if value is None else f"{value:.4g}" for value in values]
            table.add_row(row.method, f"{row.tol:.0e}", *cells)
        yield table


def _run(config: RunConfig, name: str, data_dir: Path | None, resume: bool) -> None:
    # torch takes a second to import, which --help should not wait for
    from training.loop import train
    from training.run_directory import run_directory
    from training.runs import build_task
    from training.workers import started_workers

    with _one_line_errors(), started_workers(config.device) as workers:
        run = run_directory(name)
        scores = train(build_task(config, data_dir, workers), config, run, resume=resume, workers=workers)
    if not workers.first:
        return
    typer.echo(f"{run}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    step = "study" if config.family in BASELINES else "export"
    typer.echo(f"next: odetrain {step} {run}")


# Options that several commands share: what a run is made of.
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


@app.command()
def odenet(
    data: Annotated[str, typer.Option(help="mnist, fashion-mnist or digits.")],
    name: RunName = None,
    epochs: Epochs = 5,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 2e-3,
    average: Average = 0.0,
    channels: Channels = 64,
    activation: Annotated[str, typer.Option(help="Of the field: relu, softplus or silu.")] = "relu",
    regularize: Annotated[str, typer.Option(help="none, kinetic, steer or ernode: for fewer evaluations.")] = "none",
    regularize_weight: Annotated[float, typer.Option(min=0, help="Weight of the kinetic or ernode penalty.")] = 0.01,
    augment: Augment = "shift",
    method: Method = "bosh3",
    tol: Tol = 1e-2,
    last_epochs: LastEpochs = 0,
    last_method: Method = "dopri5",
    last_tol: Tol = 1e-3,
    precision: Precision = "float32",
    last_precision: LastPrecision = "float32",
    seed: Seed = 0,
    threads: Threads = 2,
    device: Device = "cpu",
    data_dir: DataDir = None,
    resume: Resume = False,
) -> None:
    """Train an ODE-Net classifier by the adjoint method.

    Example: odetrain odenet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
    """
    with _one_line_errors():
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
    _run(config, name or f"odenet-{data}", data_dir, resume)


@app.command()
def baseline(
    family: Annotated[str, typer.Argument(help="mlp, resnet or rknet; planar.")],
    data: Annotated[str, typer.Option(help="As of odenet; planar: as of cnf.")],
    name: RunName = None,
    epochs: Epochs = 5,
    batch_size: BatchSize = 128,
    learning_rate: LearningRate = 2e-3,
    average: Average = 0.0,
    channels: Channels = 64,
    layers: Annotated[int, typer.Option(min=1, help="Of a planar flow.")] = 8,
    augment: Augment = "shift",
    method: Method = "bosh3",
    tol: Tol = 1e-2,
    last_epochs: LastEpochs = 0,
    last_method: Method = "dopri5",
    last_tol: Tol = 1e-3,
    precision: Precision = "float32",
    last_precision: LastPrecision = "float32",
    seed: Seed = 0,
    threads: Threads = 2,
    device: Device = "cpu",
    data_dir: DataDir = None,
    resume: Resume = False,
) -> None:
    """Train a network to set beside the ODE-Net (mlp, resnet, rknet: its field, gradients through the solver) or CNF.

    Example: odetrain baseline resnet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
    """
    with _one_line_errors():
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
    _run(config, name or f"{family}-{data}", data_dir, resume)


@app.command()
def cnf(
    data: Annotated[
        str, typer.Option(help="two-moons, pinwheel, 8gaussians, checkerboard, protein, or a .npy or .csv file.")
    ],
    name: RunName = None,
    epochs: Annotated[int, typer.Option(min=1, help="An epoch of a toy is 100,000 fresh points.")] = 15,
    batch_size: BatchSize = 512,
    learning_rate: LearningRate = 3e-3,
    average: Average = 0.0,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers.")] = "64,64,64",
    warp: Annotated[bool, typer.Option("--warp", help="Draw heavy tails in before the flow; for tables.")] = False,
    trace: Annotated[str, typer.Option(help="Of the training loss: exact or hutchinson.")] = "exact",
    objective: Annotated[
        str, typer.Option(help="likelihood, or flow-matching: no solves, a hundred times cheaper, not quite as exact.")
    ] = "likelihood",
    start_from: Annotated[str, typer.Option(help="A run whose weights are the first, by its name.")] = "",
    method: Method = "dopri5",
    tol: Tol = 1e-4,
    last_epochs: LastEpochs = 0,
    last_method: Method = "dopri5",
    last_tol: Tol = 1e-3,
    seed: Seed = 0,
    threads: Threads = 2,
    device: Device = "cpu",
    data_dir: DataDir = None,
    resume: Resume = False,
) -> None:
    """Train a continuous normalizing flow by the adjoint method.

    Example: odetrain cnf --data two-moons
    """
    with _one_line_errors():
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
    _run(config, name or f"cnf-{Path(data).stem}", data_dir, resume)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run directory, for instance runs/odenet-mnist.")],
    name: Annotated[str | None, typer.Option(help="Model name; default the run's.")] = None,
    version: Annotated[str, typer.Option("--version", help="A whole number.")] = "1",
    out: Annotated[Path, typer.Option(help="Folder of artifacts.")] = Path("checkpoints"),
    data_dir: DataDir = None,
) -> None:
    """Write the artifact of a run: weights, graphs, manifest. Then `odetrain calibrate` it.

    Example: odetrain export runs/odenet-mnist
    """
    from training.artifact import export_run

    with _one_line_errors():
        directory = export_run(run, name or run.name, version, out, data_dir)
    typer.echo(f"{directory}: written\nnext: odetrain calibrate {directory}")


@app.command()
def calibrate(
    artifact: Annotated[Path, typer.Argument(help="Artifact directory, for instance checkpoints/odenet-mnist/1.")],
    items: Annotated[int, typer.Option(min=100, help="How many held-back items to measure on.")] = 5_000,
    between: Annotated[
        bool, typer.Option("--between", help="Only NFE between the rows there are: minutes, no reference.")
    ] = False,
    threads: Threads = 2,
    data_dir: DataDir = None,
) -> None:
    """Measure what each tolerance costs and how wrong it is, and write the table into the manifest.

    Example: odetrain calibrate checkpoints/odenet-mnist/1
    """
    from training.calibrate import calibrate as measure

    command = f"odetrain calibrate {artifact} --items {items}{' --between' if between else ''}"
    with _one_line_errors():
        manifest = measure(artifact, items=items, data_dir=data_dir, threads=threads, command=command, between=between)
    for line in calibration_tables(manifest):
        _CONSOLE.print(line)


@app.command()
def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Artifact directory, for instance checkpoints/odenet-mnist/1.")],
    tol: Annotated[list[float] | None, typer.Option(help="rtol and atol; may be repeated.")] = None,
    method: Method = "dopri5",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items of the test set.")] = None,
    write: Annotated[bool, typer.Option("--record", help="Write the scores into the manifest.")] = False,
    threads: Threads = 2,
    data_dir: DataDir = None,
) -> None:
    """Score an artifact on its test set, through its exported graphs.

    Example: odetrain evaluate checkpoints/odenet-mnist/1 --tol 1e-2 --tol 1e-5 --record
    """
    from training.evaluate import evaluate as score
    from training.evaluate import record

    failed = False
    with _one_line_errors():
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


@app.command()
def study(
    directories: Annotated[list[Path], typer.Argument(help="Of runs, as runs/odenet-mnist, or of artifacts.")],
    brief: Annotated[bool, typer.Option("--brief", help="A classifier at tol 1e-3 and as served only.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Measure what was trained on its test set and write a record of each into docs/runs/.

    Example: odetrain study runs/odenet-mnist
    """
    from training.studies import study as measure

    with _one_line_errors():
        for directory in directories:
            typer.echo(f"{measure(directory, data_dir, brief=brief)}: written")
    typer.echo("next: odetrain report")


@app.command()
def report(
    records: Annotated[Path, typer.Option(help="Folder of records.")] = Path("docs/runs"),
    out: Annotated[Path, typer.Option(help="The page; its pictures go into a folder beside it.")] = Path(
        "docs/paper.md"
    ),
) -> None:
    """Write the page with every table and picture, from the records of runs alone.

    Example: odetrain report
    """
    from training.report import write_report

    with _one_line_errors():
        write_report(records, out)
    typer.echo(f"{out}: written")
