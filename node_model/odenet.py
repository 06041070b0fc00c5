"""The ODE-Net classifier: a downsampling stem, a neural ODE on its features, a linear head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from node_model.fields import ConvField, GroupNorm, norm_groups
from node_model.manifest import Normalisation, TensorSpec
from node_model.program import Program
from node_model.types import Args

SIZE = 6
"""Height and width of the feature maps the ODE moves."""


@dataclass(frozen=True)
class ODENetConfig:
    """Shape of an ODE-Net. `mean` and `std` normalise pixels that are given in 0..1; `activation` is the field's."""

    image_size: int = 28
    channels: int = 64
    classes: int = 10
    mean: float = 0.1307
    std: float = 0.3081
    activation: str = "relu"


class ODENet(nn.Module):
    """Classifier whose depth is the solver's choice.

    Source: Chen et al. 2018, section 3 and its MNIST experiment: 0.21 M parameters at 64 channels.
    """

    def __init__(self, config: ODENetConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = downsampling_stem(config.image_size, channels)
        self.field = ConvField(channels, SIZE, config.activation)
        self.head = classifier_head(channels, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The initial state. Shapes: images in 0..1 [lane, height, width] -> [lane, channel, 6, 6]."""
        features: Tensor = self.stem(((images - self.config.mean) / self.config.std)[:, None])
        return features

    def forward(self, images: Tensor, integrate: Callable[[nn.Module, Tensor, Tensor], Any]) -> Tensor:
        """Logits, with the features carried from t = 0 to 1 by `integrate`, for instance odeint_adjoint.

        Shapes: images [lane, height, width] -> [lane, class].
        """
        times = torch.tensor([0.0, 1.0], dtype=torch.float64, device=images.device)
        logits: Tensor = self.head(integrate(ScalarTime(self.field), self.features(images), times)[-1])
        return logits

    def programs(self) -> tuple[Program, ...]:
        """`classify`: image -> logits."""
        config = self.config
        state = (config.channels, SIZE, SIZE)
        return (
            Program(
                name="classify",
                encode=_Encode(self),
                field=_FlatField(self.field, state),
                decode=_Decode(self.head, state),
                interval=(0.0, 1.0),
                part_sizes={"features": config.channels * SIZE * SIZE},
                input=TensorSpec(
                    name="image",
                    shape=(config.image_size, config.image_size),
                    dtype="float32",
                    range=(0.0, 1.0),
                    normalisation=Normalisation(mean=(config.mean,), std=(config.std,)),
                ),
                outputs=(TensorSpec(name="logits", shape=(config.classes,), dtype="float32"),),
            ),
        )


def downsampling_stem(image_size: int, channels: int) -> nn.Sequential:
    """Three convolutions to [channels, 6, 6], with the strides of the paper at 28 pixels and none at 8."""
    kernels = {28: ((3, 1, 0), (4, 2, 1), (4, 2, 1)), 8: ((3, 1, 0), (3, 1, 1), (3, 1, 1))}
    if image_size not in kernels:
        raise ValueError(f"image_size: expected one of {sorted(kernels)}, got {image_size}")
    (k1, s1, p1), (k2, s2, p2), (k3, s3, p3) = kernels[image_size]
    return nn.Sequential(
        nn.Conv2d(1, channels, k1, s1, p1),
        GroupNorm(norm_groups(channels), channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, k2, s2, p2),
        GroupNorm(norm_groups(channels), channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, k3, s3, p3),
    )


def classifier_head(channels: int, classes: int) -> nn.Sequential:
    """Norm, ReLU, mean over the map, linear: [lane, channels, 6, 6] -> [lane, classes]."""
    return nn.Sequential(
        GroupNorm(norm_groups(channels), channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )


class ScalarTime(nn.Module):
    """The field for a joint solve, whose t has no lane axis."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        f: Tensor = self.field(t.reshape(1), x)
        return f


class _FlatField(nn.Module):
    """The field on the solver's flat state."""

    def __init__(self, field: nn.Module, state: tuple[int, ...]) -> None:
        super().__init__()
        self.field = field
        self.state = state

    def forward(self, t: Tensor, y: Tensor, _: Args) -> Tensor:
        f: Tensor = self.field(t, y.reshape(-1, *self.state))
        return f.reshape(y.shape)


class _Encode(nn.Module):
    def __init__(self, model: ODENet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.features(images).flatten(1)


class _Decode(nn.Module):
    def __init__(self, head: nn.Module, state: tuple[int, ...]) -> None:
        super().__init__()
        self.head = head
        self.state = state

    def forward(self, y: Tensor) -> tuple[Tensor]:
        return (self.head(y.reshape(-1, *self.state)),)
