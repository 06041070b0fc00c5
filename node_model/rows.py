"""Sums and logarithms over a row that do not depend on where in the batch the row lies."""

import torch
import torch.nn.functional as F
from torch import Tensor

SIMD_BYTES = 16
"""Width of the registers with which ONNX Runtime sums a row, on x86-64 as on ARM."""


def row_sum(x: Tensor) -> Tensor:
    """Sum over the last axis; in an exported graph the same bits at every place of the batch.

    ONNX Runtime sums a row in an order that follows from its address modulo a register, so that the last bit of a
    sum of, say, nine numbers depends on the row's place. Rows filled up with zeros all begin at the same remainder.
    (Summing the transpose along its first axis will not do: the runtime turns it back.)

    Shapes: [..., n] -> [...].
    """
    count, register = x.shape[-1], SIMD_BYTES // x.element_size()
    if torch.compiler.is_exporting() and count > register and count % register:
        x = F.pad(x, (0, -count % register))
    return x.sum(-1)


def row_log(x: Tensor) -> Tensor:
    """Logarithm; in an exported graph the same bits at every place of the batch, for the reason that row_sum gives.

    Shapes: [..., n] -> [..., n].
    """
    count, register = x.shape[-1], SIMD_BYTES // x.element_size()
    if torch.compiler.is_exporting() and count % register:
        return torch.log(F.pad(x, (0, -count % register), value=1.0))[..., :count]
    return torch.log(x)
