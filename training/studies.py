"""odetrain study: a finished run measured, and its record written."""

from pathlib import Path

from training.artifact import command_of
from training.config import CLASSIFIERS, RunConfig
from training.records import write_record
from training.run_directory import CONFIG
from training.study_classifier import study_classifier
from training.study_density import study_density


def study(run: Path, data_dir: Path | None) -> Path:
    """Measure the last saved weights of a run on its test set and write docs/runs/<run>.json; the file.

    Errors: FileNotFoundError when the run saved nothing.
    """
    config = RunConfig.read(run / CONFIG)
    measure = study_classifier if config.family in CLASSIFIERS else study_density
    return write_record(run.name, command=command_of(config), seed=config.seed, metrics=measure(run, data_dir))
