"""The planar normalizing flow, which the CNF is set beside: a stack of maps with a cheap determinant."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from node_model.cnf import CNFConfig, standard_normal_log_density

BISECTIONS = 60


class PlanarLayer(nn.Module):
    """z + u tanh(w . z + b), with u kept such that the map can be inverted.

    Source: Rezende & Mohamed 2015, section 4.1 eq. 10 to 12, and appendix A.1.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(dim) / math.sqrt(dim))
        self.w = nn.Parameter(torch.randn(dim) / math.sqrt(dim))
        self.b = nn.Parameter(torch.randn(()))

    def invertible_u(self) -> Tensor:
        """u moved along w until w . u > -1."""
        product = self.w @ self.u
        return self.u + (F.softplus(product) - 1 - product) * self.w / self.w.square().sum()

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The new point and the log-determinant there. Shapes: [point, dim] -> [point, dim], [point]."""
        u = self.invertible_u()
        bent = torch.tanh(z @ self.w + self.b)
        log_det = torch.log1p((1 - bent.square()) * (self.w @ u))
        return z + bent[:, None] * u, log_det

    def inverse(self, y: Tensor) -> Tensor:
        """The z that is mapped to y: along w a monotone equation in one unknown, bisected. Shapes: [point, dim]."""
        u = self.invertible_u()
        slope, target = self.w @ u, y @ self.w
        low, high = target - slope.abs(), target + slope.abs()
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = middle + slope * torch.tanh(middle + self.b) > target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return y - torch.tanh((low + high) / 2 + self.b)[:, None] * u


class PlanarFlow(nn.Module):
    """A density over points: K planar layers carry the data to the standard normal.

    The layers run in the direction in which the likelihood needs them; sampling inverts them.

    Source: Rezende & Mohamed 2015; Chen et al. 2018, section 5.
    """

    def __init__(self, config: CNFConfig, layers: int) -> None:
        super().__init__()
        self.config = config
        self._layers = [PlanarLayer(config.dim) for _ in range(layers)]
        self.layers = nn.ModuleList(self._layers)

    def log_prob(self, points: Tensor) -> Tensor:
        """Nats, in the input's own units. Shapes: [point, dim] -> [point]."""
        z = (points - points.new_tensor(self.config.mean)) / points.new_tensor(self.config.std)
        total = z.new_full((len(z),), self.config.log_jacobian)
        for layer in self._layers:
            z, log_det = layer(z)
            total = total + log_det
        return total + standard_normal_log_density(z)

    def sample(self, base: Tensor) -> Tensor:
        """Points of the density from standard normal draws. Shapes: [point, dim] -> [point, dim]."""
        z = base
        for layer in reversed(self._layers):
            z = layer.inverse(z)
        return z * z.new_tensor(self.config.std) + z.new_tensor(self.config.mean)
