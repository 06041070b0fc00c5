"""What was trained, wherever its weights are: in a run's directory or in an artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_model.checkpoint import load_model
from node_model.manifest import MANIFEST
from training.command import config_of
from training.config import RunConfig
from training.data import check_same_data
from training.records import history
from training.run_directory import CONFIG, LOG, origins
from training.runs import build_task, trained_task
from training.tasks import ClassifyTask, DensityTask


@dataclass(frozen=True)
class Trained:
    """A task with trained weights.

    `history` is the run's log by epochs, which an artifact does not carry; `origins` says when, where and by which
    commit it was trained, as far as that was written down.
    """

    name: str
    config: RunConfig
    task: ClassifyTask | DensityTask
    history: list[dict[str, float]]
    origins: list[dict[str, Any]]


def read_trained(directory: Path, data_dir: Path | None) -> Trained:
    """From a run's last saved weights, or from an artifact's.

    Errors: FileNotFoundError when the directory holds neither, or nothing was saved yet; ArtifactError for a damaged
        artifact; ValueError when the data are not those of the training.
    """
    if not (directory / MANIFEST).exists():
        config = RunConfig.read(directory / CONFIG)
        task = trained_task(directory, data_dir)
        return Trained(directory.name, config, task, history(directory / LOG), origins(directory))
    manifest, model = load_model(directory)
    config = config_of(manifest.provenance.command)
    task = build_task(config, data_dir)
    check_same_data(task.data, manifest.provenance.data_sha256)
    task.model = model
    return Trained(manifest.name, config, task, [], [{"date": manifest.provenance.date}])
