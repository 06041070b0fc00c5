"""The one training loop: optimise, save, log, resume."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from node_model.errors import SolveFailedError
from training.average import WeightAverage
from training.config import RunConfig
from training.progress import shown_progress
from training.run_directory import Trainee, begin, log, progress_of, restore, save
from training.tasks import Task
from training.workers import Workers

SAVE_SECONDS = 60.0


def learning_rate(config: RunConfig, step: int, steps: int) -> float:
    """Linear rise, then a half cosine to zero. Units: per step."""
    rise = max(1, round(config.warmup * steps))
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class _Loss(nn.Module):
    """The loss as a module of the task's parameters, which is what processes that share a run wrap."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model
        self._task = task

    def forward(self, step: int) -> Tensor:
        return self._task.loss(step)


def train(
    task: Task, config: RunConfig, run: Path, *, resume: bool, workers: Workers | None = None
) -> dict[str, float]:
    """Run `config` to its end in the directory `run`; the last held-out scores.

    The state is saved every minute and at each epoch's end, beside and renamed, so a kill at any moment loses at most a
    minute and `resume` goes on as if nothing had happened.

    Errors: ValueError when the directory already holds a run and `resume` is not set, or holds another config;
        FloatingPointError when the loss is no longer finite; OSError when the disk is full.
    """
    workers = workers or Workers()
    steps = config.epochs * task.steps_per_epoch
    optimiser = torch.optim.Adam(task.model.parameters(), lr=config.learning_rate)
    trainee = Trainee(task.model, optimiser, WeightAverage(task.model, config.average))
    if workers.first:
        begin(run, config, resume=resume)
    workers.wait()
    first = restore(run, trainee, config.start_from)
    scores = progress_of(run)[1] if first else {}
    loss_of = workers.together(_Loss(task))
    unsaved: list[dict[str, Any]] = []
    saved = time.monotonic()
    with shown_progress(steps, first, visible=workers.first) as show:
        for step in range(first, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step, steps)
            entry = _step(task, loss_of, trainee, step, workers)
            if not workers.first:
                continue
            if (step + 1) % task.steps_per_epoch == 0:
                with trainee.average.in_place_of(task.model):
                    entry["held_out"] = scores = task.held_out(step)
                entry["epoch"] = (step + 1) // task.steps_per_epoch
            unsaved.append(entry)
            show(entry)
            if "epoch" in entry or time.monotonic() - saved > SAVE_SECONDS:
                log(run, unsaved)
                save(run, trainee, step + 1, scores)
                unsaved, saved = [], time.monotonic()
    return scores


def _step(task: Task, loss_of: nn.Module, trainee: Trainee, step: int, workers: Workers) -> dict[str, Any]:
    """One step of the optimiser; its entry in the log."""
    task.evaluations.take()
    started = time.monotonic()
    trainee.optimiser.zero_grad(set_to_none=True)
    try:
        loss = loss_of(step)
        nfe_forward = task.evaluations.take()
        if not bool(loss.isfinite()):
            raise FloatingPointError(
                f"the loss became {float(loss)} at step {step}; lower --learning-rate, "
                "under another --name where something was saved"
            )
        loss.backward()
    except SolveFailedError as error:
        raise SolveFailedError(f"step {step}: {error}. In training: lower --learning-rate or loosen --tol") from error
    nfe_backward = task.evaluations.take()
    trainee.optimiser.step()
    trainee.average.update(task.model, step)
    return {
        "step": step,
        "loss": float(workers.mean(loss.detach())),
        "nfe_forward": nfe_forward,
        "nfe_backward": nfe_backward,
        "seconds": round(time.monotonic() - started, 4),
    }
