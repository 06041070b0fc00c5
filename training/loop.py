"""The one training loop: optimise, checkpoint, log, resume."""

import io
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from training.average import WeightAverage
from training.config import RunConfig
from training.tasks import Task

CONFIG, STATE, LOG = "config.json", "state.pt", "log.jsonl"
SAVE_SECONDS = 60.0


def runs_root() -> Path:
    """Where runs live: `ODETRAIN_RUNS`, by default `runs/`."""
    return Path(os.environ.get("ODETRAIN_RUNS", "runs"))


def learning_rate(config: RunConfig, step: int, steps: int) -> float:
    """Linear rise, then a half cosine to zero. Units: per step."""
    rise = max(1, round(config.warmup * steps))
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def train(task: Task, config: RunConfig, run: Path, *, resume: bool) -> dict[str, float]:
    """Run `config` to its end in the directory `run`; the last held-out scores.

    The state is saved every minute and at each epoch's end, beside and renamed, so a kill at any moment loses at most a
    minute and `resume` goes on as if nothing had happened.

    Errors: ValueError when the directory already holds a run and `resume` is not set, or holds another config.
    """
    steps = config.epochs * task.steps_per_epoch
    optimiser = torch.optim.Adam(task.model.parameters(), lr=config.learning_rate)
    average = WeightAverage(task.model, config.average)
    first = _prepare(run, config, task, optimiser, average, resume=resume)
    scores: dict[str, float] = {}
    saved = time.monotonic()
    with _progress(steps, first) as show, (run / LOG).open("a") as log:
        for step in range(first, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step, steps)
            task.evaluations.take()
            started = time.monotonic()
            optimiser.zero_grad(set_to_none=True)
            loss = task.loss(step)
            nfe_forward = task.evaluations.take()
            if not bool(loss.isfinite()):
                raise FloatingPointError(f"the loss became {float(loss)} at step {step}; lower --learning-rate")
            loss.backward()
            nfe_backward = task.evaluations.take()
            optimiser.step()
            average.update(task.model, step)
            entry: dict[str, Any] = {
                "step": step,
                "loss": float(loss.detach()),
                "nfe_forward": nfe_forward,
                "nfe_backward": nfe_backward,
                "seconds": round(time.monotonic() - started, 4),
            }
            if (step + 1) % task.steps_per_epoch == 0:
                with average.in_place_of(task.model):
                    scores = task.held_out(step)
                entry["epoch"] = (step + 1) // task.steps_per_epoch
                entry["held_out"] = scores
            log.write(json.dumps(entry) + "\n")
            show(entry)
            if "epoch" in entry or time.monotonic() - saved > SAVE_SECONDS:
                log.flush()
                _save(run, task, optimiser, average, step + 1, scores)
                saved = time.monotonic()
    return scores or _load(run)["scores"]


def _prepare(
    run: Path,
    config: RunConfig,
    task: Task,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage,
    *,
    resume: bool,
) -> int:
    """Make the run directory, or load its state; the step to begin with."""
    if (run / CONFIG).exists():
        if not resume:
            raise ValueError(f"{run} already holds a run; give --resume to go on with it, or another --name")
        known = RunConfig.read(run / CONFIG)
        if known != config:
            raise ValueError(f"{run / CONFIG} differs from what was asked for: {_difference(known, config)}")
    run.mkdir(parents=True, exist_ok=True)
    _write(run / CONFIG, config.to_json().encode())
    if not (run / STATE).exists():
        (run / LOG).write_text("")
        return 0
    state = _load(run)
    task.model.load_state_dict(state["model"])
    average.weights = state.get("average", state["model"])
    optimiser.load_state_dict(state["optimiser"])
    step = int(state["step"])
    kept = [line for line in (run / LOG).read_text().splitlines(True) if line.endswith("\n")]
    _write(run / LOG, "".join(kept[:step]).encode())
    return step


def load_weights(run: Path, model: nn.Module) -> None:
    """Put a run's last saved average weights into a model. Errors: FileNotFoundError when nothing was saved yet."""
    state = _load(run)
    model.load_state_dict(state.get("average", state["model"]))


def _load(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / STATE, weights_only=True)
    return state


def _save(
    run: Path,
    task: Task,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage,
    step: int,
    scores: dict[str, float],
) -> None:
    # In memory first: on a full disk torch.save would raise an error of its own that does not name the disk.
    content = io.BytesIO()
    torch.save(
        {
            "model": task.model.state_dict(),
            "average": average.weights,
            "optimiser": optimiser.state_dict(),
            "step": step,
            "scores": scores,
        },
        content,
    )
    _write(run / STATE, content.getbuffer())


def _write(path: Path, content: bytes | memoryview) -> None:
    """Beside and renamed: whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)


def _difference(known: RunConfig, asked: RunConfig) -> str:
    pairs = [(name, getattr(known, name), getattr(asked, name)) for name in RunConfig.__dataclass_fields__]
    return ", ".join(f"{name} is {old!r}, not {new!r}" for name, old, new in pairs if old != new)


@contextmanager
def _progress(steps: int, first: int) -> Iterator[Any]:
    """A bar with loss, NFE and the time left; a line per epoch where nobody watches a terminal."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  NFE {task.fields[forward]}+{task.fields[backward]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    item = bar.add_task("training", total=steps, completed=first, loss=float("nan"), forward=0, backward=0)
    smooth: float | None = None

    def show(entry: dict[str, Any]) -> None:
        nonlocal smooth
        smooth = entry["loss"] if smooth is None else 0.98 * smooth + 0.02 * entry["loss"]
        bar.update(item, advance=1, loss=smooth, forward=entry["nfe_forward"], backward=entry["nfe_backward"])
        if "epoch" in entry:
            held = "  ".join(f"{name} {value:.4g}" for name, value in entry["held_out"].items())
            console.print(f"epoch {entry['epoch']}  loss {smooth:.4f}  held out: {held}")

    with bar:
        yield show


def progress_of(run: Path) -> tuple[int, dict[str, float]]:
    """Steps made and last held-out scores. Errors: FileNotFoundError when nothing was saved yet."""
    state = _load(run)
    return int(state["step"]), dict(state["scores"])
