"""odetrain study: what was trained, measured, and its record written."""

from pathlib import Path

from training.command import command_of
from training.records import write_record
from training.study_classifier import study_classifier
from training.study_density import standardised, study_density
from training.tasks import ClassifyTask
from training.trained import read_trained


def study(directory: Path, data_dir: Path | None, *, brief: bool = False) -> Path:
    """Measure a run's last saved weights, or an artifact's, on the test set and write docs/runs/<name>.json; the file.

    `brief` leaves a classifier's Figure 3 out.

    Errors: those of read_trained.
    """
    found = read_trained(directory, data_dir)
    if isinstance(found.task, ClassifyTask):
        history, metrics = found.history, study_classifier(found.task, brief=brief)
    else:
        history = [standardised(epoch, found.task.data.std) for epoch in found.history]
        metrics = study_density(found.task)
    return write_record(
        found.name,
        command=command_of(found.config),
        seed=found.config.seed,
        metrics={**metrics, "origins": found.origins, "history": history},
    )
