"""A training run, whatever is trained."""

from pathlib import Path

import typer

from training.commands.ending import one_line_errors
from training.config import BASELINES, RunConfig


def run(config: RunConfig, name: str, data_dir: Path | None, resume: bool) -> None:
    """Train, and say what comes next. `name`: of the folder under ODETRAIN_RUNS."""
    # torch takes a second to import, which --help should not wait for
    from training.loop import train
    from training.run_directory import run_directory
    from training.runs import build_task
    from training.workers import started_workers

    with one_line_errors(), started_workers(config.device) as workers:
        directory = run_directory(name)
        scores = train(build_task(config, data_dir, workers), config, directory, resume=resume, workers=workers)
    if not workers.first:
        return
    typer.echo(f"{directory}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))
    step = "study" if config.family in BASELINES else "export"
    typer.echo(f"next: odetrain {step} {directory}")
