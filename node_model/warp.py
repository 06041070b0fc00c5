"""An invertible map in front of a flow that draws heavy tails in and takes linear correlations out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_model.rows import row_log, row_sum


@dataclass(frozen=True)
class Warp:
    """matrix (asinh((z - centre) / width) - offset): logarithmic far out, linear near `centre`, then a linear map.

    One number per dimension; `matrix` by rows.

    Errors: ValueError when the sizes do not agree, a width is not above 0 or the matrix has no inverse.
    Source: Johnson 1949, the S_U family, for the first half.
    """

    centre: tuple[float, ...]
    width: tuple[float, ...]
    offset: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        dim = len(self.centre)
        if {len(self.width), len(self.offset), len(self.matrix), *map(len, self.matrix)} != {dim}:
            raise ValueError(f"warp: expected {dim} numbers in each row, as many rows, widths and offsets")
        if not all(width > 0 for width in self.width):
            raise ValueError("warp: expected widths above 0")
        if not math.isfinite(self.log_scale):
            raise ValueError("warp: expected a matrix that has an inverse")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Warp":
        """From what `dataclasses.asdict` gave, by way of JSON. Errors: TypeError, ValueError."""
        rows = tuple(tuple(row) for row in values["matrix"])
        vectors = {name: tuple(value) for name, value in values.items() if name != "matrix"}
        return cls(**vectors, matrix=rows)

    @property
    def log_scale(self) -> float:
        """What is the same everywhere in the log-determinant. Nats."""
        return float(np.linalg.slogdet(np.array(self.matrix))[1]) - sum(math.log(width) for width in self.width)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The image, and its log-determinant less `log_scale`. Shapes: [lane, dim] -> [lane, dim], [lane]."""
        v = (z - z.new_tensor(self.centre)) / z.new_tensor(self.width)
        root = torch.sqrt(v.square() + 1)
        # asinh in operators that ONNX Runtime has for float32 and float64
        u = torch.sign(v) * row_log(v.abs() + root) - z.new_tensor(self.offset)
        return u @ z.new_tensor(self.matrix).T, -row_sum(row_log(root))

    def inverse(self, x: Tensor) -> Tensor:
        """What `forward` maps to x. Shapes: [lane, dim] -> [lane, dim]."""
        u = x @ x.new_tensor(np.linalg.inv(np.array(self.matrix)).tolist()).T + x.new_tensor(self.offset)
        return x.new_tensor(self.centre) + x.new_tensor(self.width) * 0.5 * (torch.exp(u) - torch.exp(-u))
