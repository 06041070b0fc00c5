"""The networks of the paper's Table 1 beside the ODE-Net; its RK-Net is an ODE-Net trained through the solver."""

import torch.nn.functional as F
from torch import Tensor, nn

from node_model.fields import GroupNorm, norm_groups
from node_model.odenet import ODENetConfig, classifier_head, downsampling_stem

HIDDEN = 300
BLOCKS = 6


class MLP(nn.Module):
    """One hidden layer of 300 units.

    Source: Chen et al. 2018, Table 1; LeCun et al. 1998.
    """

    def __init__(self, config: ODENetConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(config.image_size**2, HIDDEN)
        self.last = nn.Linear(HIDDEN, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits. Shapes: images in 0..1 [item, height, width] -> [item, class]."""
        pixels = (images - self.config.mean) / self.config.std
        logits: Tensor = self.last(F.relu(self.hidden(pixels.flatten(1))))
        return logits


class ResidualBlock(nn.Module):
    """x + f(x) with f = norm, ReLU, convolution, twice.

    Source: He et al. 2016, Identity mappings in deep residual networks, figure 1b.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(norm_groups(channels), channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = GroupNorm(norm_groups(channels), channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [item, channel, height, width] -> the same."""
        f = self.conv1(F.relu(self.norm1(x)))
        f = self.conv2(F.relu(self.norm2(f)))
        total: Tensor = x + f
        return total


class ResNet(nn.Module):
    """The ODE-Net's stem and head with six residual blocks between them.

    Source: Chen et al. 2018, section 3.
    """

    def __init__(self, config: ODENetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = downsampling_stem(config.image_size, config.channels)
        self.blocks = nn.Sequential(*(ResidualBlock(config.channels) for _ in range(BLOCKS)))
        self.head = classifier_head(config.channels, config.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits. Shapes: images in 0..1 [item, height, width] -> [item, class]."""
        features = self.stem(((images - self.config.mean) / self.config.std)[:, None])
        logits: Tensor = self.head(self.blocks(features))
        return logits
