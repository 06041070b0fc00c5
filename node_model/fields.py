"""Networks f(t, y): the convolutional field of the ODE-Net and the time-conditioned MLP of the CNF."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm_groups(channels: int) -> int:
    """Groups of a group norm: 32, or two channels each where there are fewer than 64."""
    return min(32, max(1, channels // 2))


class GroupNorm(nn.GroupNorm):
    """Group norm that is exported as plain reductions, which ONNX Runtime runs faster than its own group norm."""

    def forward(self, input: Tensor) -> Tensor:
        """Shapes: [lane, channel, height, width] -> the same."""
        if not torch.compiler.is_exporting():
            return super().forward(input)
        groups = input.reshape(-1, self.num_groups, input.shape[1] // self.num_groups * input.shape[2] * input.shape[3])
        centred = groups - groups.mean(-1, keepdim=True)
        normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)
        return normed.reshape(input.shape) * self.weight[:, None, None] + self.bias[:, None, None]


class TimeConv2d(nn.Module):
    """3x3 convolution over (t, x), t being a constant map in front of the channels of x.

    Computed as conv(x) + t * K, where K is the convolution of a map of ones with the time channel's weights: the
    same function, and the channel count stays a power of two. Weights are stored unfolded.

    Shapes: weight [out, 1 + in, 3, 3], input channel 0 is time.
    Source: Chen et al. 2018, section 3; the layer their MNIST experiment calls ConcatConv2d.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        whole = nn.Conv2d(channels + 1, channels, 3, padding=1)
        self.weight = whole.weight
        self.bias = whole.bias
        self.size = size

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shapes: t [lane] or [1], x [lane, channel, size, size] -> as x."""
        ones = torch.ones(1, 1, self.size, self.size, dtype=x.dtype, device=x.device)
        time_map = F.conv2d(ones, self.weight[:, :1], padding=1)
        return F.conv2d(x, self.weight[:, 1:], self.bias, padding=1) + t[:, None, None, None] * time_map


class ConvField(nn.Module):
    """norm, ReLU, convolution, twice, then a norm: the field of the paper's ODE-Net.

    Source: Chen et al. 2018, section 3 and appendix; a pre-activation residual block (He et al. 2016) without its sum.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(norm_groups(channels), channels)
        self.conv1 = TimeConv2d(channels, size)
        self.norm2 = GroupNorm(norm_groups(channels), channels)
        self.conv2 = TimeConv2d(channels, size)
        self.norm3 = GroupNorm(norm_groups(channels), channels)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shapes: t [lane] or [1], x [lane, channel, size, size] -> as x."""
        x = self.conv1(t, F.relu(self.norm1(x)))
        x = self.conv2(t, F.relu(self.norm2(x)))
        f: Tensor = self.norm3(x)
        return f


class TimeMLP(nn.Module):
    """Tanh network in which every layer also sees t.

    Layer l computes W x + w t + b; its weight is stored whole, [out, 1 + in], column 0 being time.

    Source: Grathwohl et al. 2019 (FFJORD), appendix B, "concat" layers; Chen et al. 2018, section 4.
    """

    def __init__(self, dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [dim, *hidden, dim]
        self.layers = nn.ModuleList(nn.Linear(1 + a, b) for a, b in pairwise(widths))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shapes: t [lane] or [1], x [lane, dim] -> [lane, dim]."""
        for layer in self.layers[:-1]:
            x = torch.tanh(_affine(layer, t, x))
        return _affine(self.layers[-1], t, x)

    def with_tangents(self, t: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """The field and its Jacobian times each tangent, in one forward pass without autograd.

        Shapes: t [lane] or [1], x [lane, dim], tangents [lane or 1, n, dim] -> [lane, dim], [lane, n, dim].
        Source: forward-mode differentiation; Griewank & Walther 2008, chapter 3.
        """
        if len(self.layers) == 1:
            tangents = tangents.expand(len(x), -1, -1)
        for layer in self.layers[:-1]:
            x = torch.tanh(_affine(layer, t, x))
            tangents = _linear(layer, tangents) * (1 - x.square())[:, None, :]
        last = self.layers[-1]
        return _affine(last, t, x), _linear(last, tangents)


def _affine(layer: nn.Module, t: Tensor, x: Tensor) -> Tensor:
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return F.linear(x, weight[:, 1:], bias) + t[:, None] * weight[:, 0]


def _linear(layer: nn.Module, tangents: Tensor) -> Tensor:
    return F.linear(tangents, layer.get_parameter("weight")[:, 1:])
