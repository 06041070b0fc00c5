"""What the training loop needs to know of a model family: its model, its batches, its loss, its held-out score."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from node_model.adjoint import odeint_adjoint
from node_model.cnf import CNF, CNFConfig
from node_model.odenet import ODENet, ODENetConfig
from training.config import RunConfig
from training.data import ImageSet, PointSet, generator, shifted


class EvaluationCount:
    """Counts the field evaluations of whatever is integrated through it, forward and backward."""

    def __init__(self) -> None:
        self._calls = 0

    def add(self) -> None:
        """One evaluation more."""
        self._calls += 1

    def take(self) -> int:
        """Evaluations since the last take."""
        calls, self._calls = self._calls, 0
        return calls


class _Counted(nn.Module):
    def __init__(self, func: nn.Module, count: EvaluationCount) -> None:
        super().__init__()
        self.func = func
        self.count = count

    def forward(self, t: Tensor, y: Any) -> Any:
        self.count.add()
        return self.func(t, y)


class AdjointSolve:
    """The solve that training uses: by the adjoint method, joint, one tolerance both ways, evaluations counted."""

    def __init__(self, config: RunConfig, count: EvaluationCount) -> None:
        self._config = config
        self._count = count

    def __call__(self, func: nn.Module, y0: Any, t: Tensor) -> Any:
        """The states at times t; see node_model.adjoint.odeint_adjoint."""
        config = self._config
        counted = _Counted(func, self._count)
        return odeint_adjoint(counted, y0, t, rtol=config.tol, atol=config.tol, method=config.method)


class Task(Protocol):
    """A family of models on a data set."""

    evaluations: EvaluationCount
    steps_per_epoch: int

    @property
    def model(self) -> nn.Module:
        """Everything that is trained."""
        ...

    def loss(self, step: int) -> Tensor:
        """Loss of the batch of one step, differentiable; the batch is a function of the seed and the step alone."""
        ...

    def held_out(self) -> dict[str, float]:
        """Scores on the held-back items, for the log and for selection."""
        ...


@dataclass
class ClassifyTask:
    """An ODE-Net on images, cross-entropy."""

    config: RunConfig
    data: ImageSet

    def __post_init__(self) -> None:
        size = self.data.train_images.shape[-1]
        shape = ODENetConfig(
            image_size=size,
            channels=self.config.channels,
            classes=len(self.data.class_names),
            mean=self.data.mean,
            std=self.data.std,
        )
        self.model = ODENet(shape).to(self.config.device)
        self.evaluations = EvaluationCount()
        self.steps_per_epoch = len(self.data.train_images) // self.config.batch_size
        self._integrate = AdjointSolve(self.config, self.evaluations)

    def loss(self, step: int) -> Tensor:
        """Mean cross-entropy in nats. The order is shuffled each epoch; images of 28 pixels are shifted by up to 2."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = generator(self.config.seed, 1, epoch).permutation(len(self.data.train_images))
        rows = order[within * self.config.batch_size :][: self.config.batch_size]
        reach = self.data.train_images.shape[-1] // 14
        images = shifted(self.data.train_images[rows], generator(self.config.seed, 2, step), reach)
        logits = self.model(self._tensor(images), self._integrate)
        return nn.functional.cross_entropy(logits, self._tensor(self.data.train_labels[rows]))

    def held_out(self) -> dict[str, float]:
        """Share of wrong labels and mean cross-entropy."""
        wrong, loss = 0, 0.0
        labels = self._tensor(self.data.held_labels)
        for images, truth in zip(self._tensor(self.data.held_images).split(250), labels.split(250), strict=True):
            with torch.no_grad():
                logits = self.model(images, self._integrate)
            wrong += int((logits.argmax(-1) != truth).sum())
            loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
        return {"error": wrong / len(labels), "loss": loss / len(labels)}

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.config.device)


@dataclass
class DensityTask:
    """A continuous normalizing flow on points, negative log-likelihood in nats of the input's units."""

    config: RunConfig
    data: PointSet

    def __post_init__(self) -> None:
        shape = CNFConfig(mean=self.data.mean, std=self.data.std, hidden=self.config.hidden)
        self.model = CNF(shape).to(self.config.device)
        self.evaluations = EvaluationCount()
        rows = 100_000 if self.data.train is None else len(self.data.train)
        self.steps_per_epoch = max(1, rows // self.config.batch_size)
        self._integrate = AdjointSolve(self.config, self.evaluations)

    def loss(self, step: int) -> Tensor:
        """Mean negative log-likelihood of the step's points."""
        points = self._tensor(self.data.batch(self.config.seed, step, self.config.batch_size))
        return -self.model.log_prob(points, self._integrate).mean()

    def held_out(self) -> dict[str, float]:
        """Mean negative log-likelihood."""
        with torch.no_grad():
            return {"nll": -float(self.model.log_prob(self._tensor(self.data.held), self._integrate).mean())}

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.config.device, torch.float32)
