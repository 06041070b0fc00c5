"""Networks f(t, y): the convolutional field of the ODE-Net and the time-conditioned MLP of the CNF."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from node_model.rows import row_sum

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "softplus": F.softplus, "silu": F.silu}
"""Of a convolutional field. A Runge-Kutta method keeps its order only where the field is smooth; ReLU has kinks."""


def norm_groups(channels: int) -> int:
    """Groups of a group norm: 32, or two channels each where there are fewer than 64."""
    return min(32, max(1, channels // 2))


class GroupNorm(nn.GroupNorm):
    """Group norm that is exported as an instance norm of the groups and a batch norm that scales the channels.

    ONNX Runtime runs these two kernels in half the time of its own group norm or of plain reductions; they exist for
    float32 alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Shapes: [lane, channel, height, width] -> the same."""
        if not torch.compiler.is_exporting():
            return super().forward(input)
        groups = input.reshape(-1, self.num_groups, input.shape[1] // self.num_groups * input.shape[2] * input.shape[3])
        if input.dtype == torch.float32:
            normed = F.instance_norm(groups, eps=self.eps).reshape(input.shape)
            zeros, ones = torch.zeros_like(self.weight), torch.ones_like(self.weight)
            return F.batch_norm(normed, zeros, ones, self.weight, self.bias, eps=0.0)
        centred = groups - groups.mean(-1, keepdim=True)
        normed = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + self.eps)
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
    """norm, activation, convolution, twice, then a norm: the field of the paper's ODE-Net, whose activation is ReLU.

    Errors: ValueError for an activation that is not one of ACTIVATIONS.
    Source: Chen et al. 2018, section 3 and appendix; a pre-activation residual block (He et al. 2016) without its sum.
    """

    def __init__(self, channels: int, size: int, activation: str = "relu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}; got {activation!r}")
        self.activation = ACTIVATIONS[activation]
        self.norm1 = GroupNorm(norm_groups(channels), channels)
        self.conv1 = TimeConv2d(channels, size)
        self.norm2 = GroupNorm(norm_groups(channels), channels)
        self.conv2 = TimeConv2d(channels, size)
        self.norm3 = GroupNorm(norm_groups(channels), channels)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shapes: t [lane] or [1], x [lane, channel, size, size] -> as x."""
        x = self.conv1(t, self.activation(self.norm1(x)))
        x = self.conv2(t, self.activation(self.norm2(x)))
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
        time = t[:, None].expand(x.shape[0], 1)
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(torch.cat([time, x], 1)))
        f: Tensor = self.layers[-1](torch.cat([time, x], 1))
        return f

    def with_trace(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The field and tr(df/dx): one forward pass without autograd.

        The tangent of each axis is pushed through the hidden layers. What the first and the last layer do to an axis
        does not depend on the point, so it is multiplied into the weights of their neighbours: with two hidden layers
        that leaves one product, whatever the dimension.

        Shapes: t [lane] or [1], x [lane, dim] -> [lane, dim], [lane].
        Source: forward-mode differentiation; Griewank & Walther 2008, chapter 3.
        """
        time, slopes = t[:, None].expand(x.shape[0], 1), []
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(torch.cat([time, x], 1)))
            slopes.append(1 - x * x)
        return self.layers[-1](torch.cat([time, x], 1)), self._trace(slopes).expand(x.shape[0])

    def _trace(self, slopes: list[Tensor]) -> Tensor:
        """The trace where the hidden layers have these slopes. Shapes: each [lane, width] -> [lane] or []."""
        if not slopes:
            return _spatial(self.layers[0]).diagonal().sum()
        first, *between, last = map(_spatial, self.layers)
        outer = first @ last  # how much of each unit of the last hidden layer comes back to each of the first
        if len(slopes) == 1:
            return row_sum(slopes[0] * outer.diagonal())
        if len(slopes) == 2:
            return row_sum(slopes[1] * F.linear(slopes[0], between[0] * outer.T))
        dim, width = len(last), len(between[0])
        into = (first.T[:, None] * between[0]).flatten(0, 1)
        tangents = F.linear(slopes[0], into).reshape(-1, dim, width)
        for slope, weight in zip(slopes[1:-2], between[1:-1], strict=True):
            tangents = F.linear(tangents * slope[:, None], weight)
        out = (last.T[:, :, None] * between[-1][:, None]).flatten(1)
        return row_sum(slopes[-1] * F.linear((tangents * slopes[-2][:, None]).flatten(1), out))

    def with_quadratic_form(self, t: Tensor, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The field and, summed over n vectors v, v . (df/dx) v: one forward pass without autograd.

        The tangent of each v is pushed through the hidden layers; the last layer is applied to v from the left, which
        costs a product less. The vectors' axis comes first, so that what is the same for all of them is one block.

        Shapes: t [lane] or [1], x [lane, dim], v [n, lane or 1, dim] -> [lane, dim], [lane].
        Source: forward-mode differentiation; Griewank & Walther 2008, chapter 3.
        """
        time, tangents = t[:, None].expand(x.shape[0], 1), v
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(torch.cat([time, x], 1)))
            tangents = F.linear(tangents, _spatial(layer)) * (1 - x * x)
        last = self.layers[-1]
        forms = row_sum(v @ _spatial(last) * tangents).sum(0)
        return last(torch.cat([time, x], 1)), forms.expand(x.shape[0])


def _spatial(layer: nn.Module) -> Tensor:
    """The weights of x, without the column of t."""
    return layer.get_parameter("weight")[:, 1:]
