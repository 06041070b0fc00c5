"""Activations of float64 graphs written with operators that ONNX Runtime has in float64; its own are for float32."""

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnxscript import opset18 as op


def _number(value: float) -> Any:
    return op.Constant(value=onnx.helper.make_tensor("number", onnx.TensorProto.DOUBLE, [], [float(value)]))


def _elu(self: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    zero, one = _number(0.0), _number(1.0)
    below = op.Mul(_number(alpha), op.Sub(op.Exp(op.Mul(op.Min(self, zero), _number(input_scale))), one))
    return op.Mul(_number(scale), op.Where(op.Greater(self, zero), self, below))


def _selu(self: Any) -> Any:
    return _elu(self, 1.6732632423543772, 1.0507009873554805)


def _leaky_relu(self: Any, negative_slope: float = 0.01) -> Any:
    return op.Where(op.Greater(self, _number(0.0)), self, op.Mul(_number(negative_slope), self))


def _softplus(self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    scaled = op.Mul(_number(beta), self)
    # log(1 + exp(x)) without an exponential that overflows.
    bent = op.Add(op.Max(scaled, _number(0.0)), op.Log(op.Add(_number(1.0), op.Exp(op.Neg(op.Abs(scaled))))))
    return op.Where(op.Greater(scaled, _number(threshold)), self, op.Div(bent, _number(beta)))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.elu.default: _elu,
    torch.ops.aten.selu.default: _selu,
    torch.ops.aten.leaky_relu.default: _leaky_relu,
    torch.ops.aten.softplus.default: _softplus,
}
"""As `torch.onnx.export` takes them."""
