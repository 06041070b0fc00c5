"""odetrain study: a finished run measured, and its record written."""

from pathlib import Path

from training.artifact import command_of
from training.config import CLASSIFIERS, RunConfig
from training.records import write_record
from training.run_directory import CONFIG
from training.study_classifier import study_classifier
from training.study_density import study_density


def study(run: Path, data_dir: Path | None, *, brief: bool = False) -> Path:
    """Measure the last saved weights of a run on its test set and write docs/runs/<run>.json; the file.

    `brief` leaves a classifier's Figure 3 out.

    Errors: FileNotFoundError when the run saved nothing.
    """
    config = RunConfig.read(run / CONFIG)
    if config.family in CLASSIFIERS:
        metrics = study_classifier(run, data_dir, brief=brief)
    else:
        metrics = study_density(run, data_dir)
    return write_record(run.name, command=command_of(config), seed=config.seed, metrics=metrics)
