"""The exact trace of a Jacobian of a layered network, without autograd, so that it can be exported.

torch.autograd and torch.func have no form in an exported graph; the tangents of each axis are pushed through the
layers by hand.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from node_model.rows import row_sum

Slope = Callable[[Any, Tensor, Tensor], Tensor]


def _gelu_slope(layer: nn.GELU, x: Tensor, _: Tensor) -> Tensor:
    if layer.approximate != "none":
        raise ValueError("GELU: expected approximate='none'")
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * density


def _silu_slope(_: nn.SiLU, x: Tensor, __: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate * (1 + x * (1 - gate))


SLOPES: dict[type[nn.Module], Slope] = {
    nn.Identity: lambda _, x, __: torch.ones_like(x),
    nn.Tanh: lambda _, __, out: 1 - out.square(),
    nn.Sigmoid: lambda _, __, out: out * (1 - out),
    nn.ReLU: lambda _, x, __: (x > 0).to(x.dtype),
    nn.LeakyReLU: lambda layer, x, __: torch.where(x > 0, 1.0, layer.negative_slope).to(x.dtype),
    nn.ELU: lambda layer, x, out: torch.where(x > 0, torch.ones_like(x), out + layer.alpha),
    nn.Softplus: lambda layer, x, _: torch.sigmoid(layer.beta * x),
    nn.SiLU: _silu_slope,
    nn.GELU: _gelu_slope,
}
"""Derivatives of activations that look at each number alone, by (layer, input, output)."""


def _check_linear(name: int, layer: Any, x: Tensor, out: Tensor) -> None:
    """Whether a layer does with its weight what a linear one does. Errors: ValueError."""
    linear = F.linear(x, layer.weight, layer.bias)
    if linear.shape != out.shape or not torch.allclose(linear, out, rtol=1e-4, atol=1e-5):
        raise ValueError(f"layer {name}: expected weight @ x + bias of {layer}, which does something else")


def with_trace(network: nn.Sequential, inputs: Tensor, dim: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """What a network of linear layers and activations gives, and the trace of its Jacobian to `dim` of its inputs.

    `first` is where these begin; the others, a time or a context, are constants. Tangents are [lane, dim, width] at
    each layer.

    Shapes: inputs [lane, dim + others] -> [lane, dim], [lane].
    Errors: ValueError naming a layer that is neither linear nor one of SLOPES, or a network without a layer that is
        linear, or with a forward of its own. Of a layer that has a weight and a bias it is tried whether it is linear,
        but not while it is exported.
    Source: forward-mode differentiation; Griewank & Walther 2008, chapter 3.
    """
    if type(network).forward is not nn.Sequential.forward:
        raise ValueError(
            f"expected a torch.nn.Sequential, layer after layer; {type(network).__name__} has its own forward"
        )
    x, tangents = inputs, None
    # Not named_children, which leaves out a layer that was there before: one activation may stand in several places.
    for name, layer in enumerate(network):
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() == 2 and hasattr(layer, "bias"):
            # The tangent of each axis is one of the first layer's columns, whatever the point.
            tangents = weight[:, first : first + dim].T[None] if tangents is None else F.linear(tangents, weight)
            x, before = layer(x), x
            if not (type(layer) is nn.Linear or torch.compiler.is_exporting()):
                _check_linear(name, layer, before, x)
        elif type(layer) in SLOPES and tangents is not None:
            out = layer(x)
            tangents = tangents * SLOPES[type(layer)](layer, x, out)[:, None]
            x = out
        else:
            known = ", ".join(sorted(kind.__name__ for kind in SLOPES))
            raise ValueError(
                f"layer {name}: expected linear layers, the first one of them, with {known} between; got {layer}"
            )
    if tangents is None or x.shape[1] != dim:
        raise ValueError(f"expected a network from {dim} numbers and more to {dim}, got one to {x.shape[1]}")
    trace = row_sum(tangents.diagonal(dim1=1, dim2=2))
    return x, trace.expand(x.shape[0])
