"""A run as the command that repeats it, and back."""

import shlex
from dataclasses import fields
from typing import Any

from training.config import BASELINES, RunConfig

COMMON_OPTIONS = (
    "data",
    "epochs",
    "batch_size",
    "learning_rate",
    "average",
    "method",
    "tol",
    "last_epochs",
    "last_method",
    "last_tol",
    "seed",
    "threads",
    "device",
)
"""Settings that every training command has as an option."""
OWN_OPTIONS = {
    "odenet": ("channels", "activation", "regularize", "regularize_weight", "augment", "precision", "last_precision"),
    "baseline": ("channels", "layers", "augment", "precision", "last_precision"),
    "cnf": ("hidden", "warp", "trace", "objective", "start_from"),
}
"""And those of one command."""


def command_of(config: RunConfig) -> str:
    """The command that repeats a run, every option spelt out: a later default must not change what was done."""
    baseline = config.family in BASELINES
    words = ["odetrain", *(["baseline"] if baseline else []), config.family]
    for name in (*COMMON_OPTIONS, *OWN_OPTIONS["baseline" if baseline else config.family]):
        value, option = getattr(config, name), f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] if value else []
        elif isinstance(value, tuple):
            words += [option, ",".join(map(str, value))]
        else:
            words += [option, str(value)]
    return shlex.join(words)


def config_of(command: str) -> RunConfig:
    """The run that a recorded command repeats; an option that it does not name had the default.

    Errors: ValueError for what is no command of `command_of`, of this version or an earlier one.
    """
    words = iter(shlex.split(command))
    defaults: dict[str, Any] = {field.name: field.default for field in fields(RunConfig)}
    if next(words, "") != "odetrain":
        raise ValueError(f"expected a command of odetrain, got {command!r}")
    family = next(words, "")
    values: dict[str, Any] = {"family": next(words, "") if family == "baseline" else family}
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        if name not in defaults:
            raise ValueError(f"{word}: is no option of a run, in {command!r}")
        default = defaults[name]
        if isinstance(default, bool):
            values[name] = True
        elif isinstance(default, tuple):
            values[name] = tuple(map(int, next(words, "").split(",")))
        else:
            values[name] = (type(default) if isinstance(default, int | float) else str)(next(words, ""))
    return RunConfig(**values)
