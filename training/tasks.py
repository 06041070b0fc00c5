"""What the training loop needs to know of a model family: its model, its batches, its loss, its held-out score."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from node_model.cnf import CNF, CNFConfig
from node_model.odenet import ODENet, ODENetConfig, ScalarTime
from node_model.warp import Warp
from training.augment import augmented
from training.baselines import MLP, ResNet
from training.config import RunConfig
from training.data import ImageSet, PointSet, generator
from training.flow_matching import flow_matching_loss
from training.planar import PlanarFlow
from training.solves import Autocast, EvaluationCount, TrainingSolve
from training.warp_fit import fitted_warp
from training.workers import Workers

CLASSIFIER_MODELS: dict[str, type[ODENet | ResNet | MLP]] = {
    "odenet": ODENet,
    "rknet": ODENet,
    "resnet": ResNet,
    "mlp": MLP,
}


class Task(Protocol):
    """A family of models on a data set."""

    evaluations: EvaluationCount
    steps_per_epoch: int

    @property
    def model(self) -> nn.Module:
        """Everything that is trained."""
        ...

    def loss(self, step: int) -> Tensor:
        """Loss of this process's share of a step's batch, differentiable; a function of the seed and the step alone."""
        ...

    def held_out(self, step: int) -> dict[str, float]:
        """Scores on the held-back items after a step, for the log and for selection."""
        ...


@dataclass
class ClassifyTask:
    """A classifier on images, cross-entropy."""

    config: RunConfig
    data: ImageSet
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        size = self.data.train_images.shape[-1]
        shape = ODENetConfig(
            image_size=size,
            channels=self.config.channels,
            classes=len(self.data.class_names),
            mean=self.data.mean,
            std=self.data.std,
            activation=self.config.activation,
        )
        self.model = CLASSIFIER_MODELS[self.config.family](shape).to(self.config.device)
        self.evaluations = EvaluationCount()
        items = len(self.data.train_images)
        if self.config.batch_size > items:
            raise ValueError(f"--batch-size: {self.config.batch_size} is more than the {items} training images")
        self.steps_per_epoch = items // self.config.batch_size

    def loss(self, step: int) -> Tensor:
        """Mean cross-entropy in nats, and what the regulariser adds. The order is shuffled each epoch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = generator(self.config.seed, 1, epoch).permutation(len(self.data.train_images))
        rows = order[within * self.config.batch_size :][: self.config.batch_size]
        moved = augmented(self.data.train_images[rows], generator(self.config.seed, 2, step), self.config.augment)
        images = self._tensor(self.workers.share(moved))
        labels = self._tensor(self.workers.share(self.data.train_labels[rows]))
        half = self.config.precision_at(epoch) == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits, penalty = self._logits(images, epoch, step)
        return nn.functional.cross_entropy(logits.float(), labels) + penalty

    def _logits(self, images: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Logits, and what the regulariser adds to the loss."""
        if not isinstance(self.model, ODENet):
            return self.model(images), images.new_zeros(())
        solve = TrainingSolve(self.config, epoch, self.evaluations)
        field: nn.Module = ScalarTime(self.model.field)
        if self.config.precision_at(epoch) == "bfloat16":
            field = Autocast(field)
        y1, penalty = solve.penalised(field, self.model.features(images).float(), step)
        return self.model.head(y1), penalty

    def held_out(self, step: int) -> dict[str, float]:
        """Share of wrong labels and mean cross-entropy."""
        solve = TrainingSolve(self.config, step // self.steps_per_epoch, self.evaluations)
        wrong, loss = 0, 0.0
        labels = self._tensor(self.data.held_labels)
        for images, truth in zip(self._tensor(self.data.held_images).split(250), labels.split(250), strict=True):
            with torch.no_grad():
                logits = self.model(images, solve) if isinstance(self.model, ODENet) else self.model(images)
            wrong += int((logits.argmax(-1) != truth).sum())
            loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
        return {"error": wrong / len(labels), "loss": loss / len(labels)}

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.config.device)


@dataclass
class DensityTask:
    """A normalizing flow on points, negative log-likelihood in nats of the input's units."""

    config: RunConfig
    data: PointSet
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        shape = CNFConfig(mean=self.data.mean, std=self.data.std, hidden=self.config.hidden, warp=self._warp())
        planar = self.config.family == "planar"
        self.model = (PlanarFlow(shape, self.config.layers) if planar else CNF(shape)).to(self.config.device)
        self.evaluations = EvaluationCount()
        rows = 100_000 if self.data.train is None else len(self.data.train)
        self.steps_per_epoch = max(1, rows // self.config.batch_size)

    def loss(self, step: int) -> Tensor:
        """Mean negative log-likelihood of the step's points, or how far the field is from their paths."""
        points = self.data.batch(self.config.seed, step, self.config.batch_size)
        if self.config.objective == "flow-matching" and isinstance(self.model, CNF):
            rng = generator(self.config.seed, 11, step, self.workers.rank)
            return flow_matching_loss(self.model, self._tensor(self.workers.share(points)), rng)
        probe = None
        if self.config.trace == "hutchinson":
            drawn = np.sign(generator(self.config.seed, 9, step).standard_normal(points.shape))
            probe = self._tensor(self.workers.share(drawn))
        return self._nll(self.workers.share(points), step, probe)

    def held_out(self, step: int) -> dict[str, float]:
        """Mean negative log-likelihood, with the exact trace."""
        with torch.no_grad():
            return {"nll": float(self._nll(self.data.held, step, None))}

    def _nll(self, array: Any, step: int, probe: Tensor | None) -> Tensor:
        points = self._tensor(array)
        if isinstance(self.model, PlanarFlow):
            return -self.model.log_prob(points).mean()
        solve = TrainingSolve(self.config, step // self.steps_per_epoch, self.evaluations)
        return -self.model.log_prob(points, solve, probe).mean()

    def _warp(self) -> Warp | None:
        if not self.config.warp:
            return None
        if self.data.train is None:
            raise ValueError("warp: is fitted to the rows of a table; a toy has none")
        return fitted_warp((self.data.train - np.array(self.data.mean)) / np.array(self.data.std))

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.config.device, torch.float32)
