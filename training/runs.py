"""From a config to its task, and from a run directory back to its trained model."""

from pathlib import Path

import torch

from training.config import CLASSIFIERS, RunConfig
from training.data import load_images, load_points
from training.run_directory import CONFIG, load_weights
from training.tasks import ClassifyTask, DensityTask
from training.workers import Workers


def build_task(config: RunConfig, data_dir: Path | None, workers: Workers | None = None) -> ClassifyTask | DensityTask:
    """The task of a config, its weights freshly drawn from the seed.

    Errors: ValueError for a device that is not to be had, unfit data, or a batch larger than the data.
    """
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without CUDA
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device: {config.device!r} is not to be had here: {reason}") from error
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    workers = workers or Workers()
    if config.family in CLASSIFIERS:
        return ClassifyTask(config, load_images(config.data, data_dir), workers)
    return DensityTask(config, load_points(config.data, config.seed, data_dir), workers)


def trained_task(run: Path, data_dir: Path | None) -> ClassifyTask | DensityTask:
    """The task of a run directory with the weights it last saved.

    Errors: FileNotFoundError when the directory holds no run or nothing was saved yet.
    """
    task = build_task(RunConfig.read(run / CONFIG), data_dir)
    load_weights(run, task.model)
    task.model.eval()
    return task
