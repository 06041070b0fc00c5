"""A training run on disk: its config, its last state, its log. Whole at any moment, and resumable bit for bit."""

import io
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from node_model.whole_file import write_whole
from training.average import WeightAverage
from training.config import RunConfig
from training.records import origin

CONFIG, STATE, LOG, ORIGINS = "config.json", "state.pt", "log.jsonl", "origins.json"


def run_directory(name: str) -> Path:
    """Where a run lives: in the folder `ODETRAIN_RUNS`, by default `runs/`. Errors: ValueError for what is no name."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"--name: expected the plain name of a folder, got {name!r}")
    return Path(os.environ.get("ODETRAIN_RUNS", "runs")) / name


@dataclass(frozen=True)
class Trainee:
    """What changes while a model is trained."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage


def begin(run: Path, config: RunConfig, *, resume: bool) -> None:
    """Make the directory of a run, or look whether it holds the one that is to go on.

    What was begun and saved nothing, because an option was wrong for instance, is no run and gives way.

    Errors: ValueError when it holds a run and `resume` is not set, or holds another config.
    """
    if (run / CONFIG).exists() and (run / STATE).exists():
        if not resume:
            raise ValueError(f"{run} already holds a run; give --resume to go on with it, or another --name")
        known = RunConfig.read(run / CONFIG)
        if known != config:
            raise ValueError(f"{run / CONFIG} differs from what was asked for: {_difference(known, config)}")
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / CONFIG, config.to_json().encode())
    step = int(_load(run)["step"]) if (run / STATE).exists() else 0
    lines = (run / LOG).read_text().splitlines(keepends=True) if step else []
    write_whole(run / LOG, "".join(lines[:step]).encode())
    before = [one for one in origins(run) if one["step"] < step]
    write_whole(run / ORIGINS, json.dumps([*before, {"step": step, **origin()}], indent=1).encode())


def origins(run: Path) -> list[dict[str, Any]]:
    """When, on which machine and by which commit a run was begun and gone on with, and at which step; oldest first."""
    return list(json.loads((run / ORIGINS).read_text())) if (run / ORIGINS).exists() else []


def restore(run: Path, trainee: Trainee, start_from: str = "") -> int:
    """Put the last saved state in place, or the weights of the run beside it that this one starts from; the next step.

    Errors: ValueError when that run is not there, saved nothing, or is of another shape.
    """
    if not (run / STATE).exists():
        if start_from:
            _start(run.parent / start_from, trainee)
        return 0
    state = _load(run)
    trainee.model.load_state_dict(state["model"])
    trainee.average.weights = state["average"]
    trainee.optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _start(source: Path, trainee: Trainee) -> None:
    try:
        load_weights(source, trainee.model)
    except FileNotFoundError as error:
        raise ValueError(f"start-from: there is no saved run in {source}") from error
    except RuntimeError as error:
        raise ValueError(f"start-from: {source} holds a network of another shape") from error
    trainee.average.restart(trainee.model)


def save(run: Path, trainee: Trainee, step: int, scores: dict[str, float]) -> None:
    """Write the state after so many steps. Errors: OSError, the last state being as it was."""
    # In memory first: on a full disk torch.save would raise an error of its own that does not name the disk.
    content = io.BytesIO()
    torch.save(
        {
            "model": trainee.model.state_dict(),
            "average": trainee.average.weights,
            "optimiser": trainee.optimiser.state_dict(),
            "step": step,
            "scores": scores,
        },
        content,
    )
    write_whole(run / STATE, content.getbuffer())


def log(run: Path, entries: list[dict[str, Any]]) -> None:
    """Add the entries of some steps to the log. Errors: OSError naming the file."""
    try:
        with (run / LOG).open("a") as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in entries))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(run / LOG)) from error


def load_weights(run: Path, model: nn.Module) -> None:
    """Put a run's last saved average weights into a model. Errors: FileNotFoundError when nothing was saved yet."""
    model.load_state_dict(_load(run)["average"])


def progress_of(run: Path) -> tuple[int, dict[str, float]]:
    """Steps made and last held-out scores. Errors: FileNotFoundError when nothing was saved yet."""
    state = _load(run)
    return int(state["step"]), dict(state["scores"])


def _load(run: Path) -> dict[str, Any]:
    """Errors: FileNotFoundError when nothing was saved yet; ValueError for what is no state."""
    try:
        state: dict[str, Any] = torch.load(run / STATE, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{run / STATE}: is cut or damaged; train anew under another --name") from error
    # runs of before there were averages
    return {"average": state["model"]} | state


def _difference(known: RunConfig, asked: RunConfig) -> str:
    pairs = [(name, getattr(known, name), getattr(asked, name)) for name in RunConfig.__dataclass_fields__]
    return ", ".join(f"{name} is {old!r}, not {new!r}" for name, old, new in pairs if old != new)
