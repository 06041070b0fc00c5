"""The shipped ODE-Net as torchdiffeq's users write it: time as a channel in front of the others."""

from pathlib import Path

import torch
import torchdiffeq
from torch import Tensor, nn
from torch.nn import functional as F

from node_model.checkpoint import load_model
from node_model.odenet import ODENet

ARTIFACT = Path(__file__).parents[2] / "checkpoints" / "odenet-mnist" / "1"


class ConcatField(nn.Module):
    """f(t, x) by convolutions over (t, x); counts nothing, folds nothing."""

    def __init__(self, model: ODENet) -> None:
        super().__init__()
        self.field = model.field

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shapes: t scalar, x [lane, channel, height, width] -> as x."""
        field, time_map = self.field, torch.ones_like(x[:, :1]) * t
        for norm, conv in ((field.norm1, field.conv1), (field.norm2, field.conv2)):
            x = torch.cat([time_map, torch.relu(norm(x))], 1)
            x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        f: Tensor = field.norm3(x)
        return f


class TorchdiffeqClassifier(nn.Module):
    """Images to probabilities by torchdiffeq's dopri5, one tolerance for the batch."""

    def __init__(self) -> None:
        super().__init__()
        _, model = load_model(ARTIFACT)
        assert isinstance(model, ODENet)
        self.model = model
        self.field = ConcatField(model)

    @torch.no_grad()
    def forward(self, images: Tensor, tol: float) -> Tensor:
        """Shapes: images [lane, 28, 28] -> [lane, 10]."""
        times = torch.tensor([0.0, 1.0])
        x = torchdiffeq.odeint(self.field, self.model.features(images), times, rtol=tol, atol=tol, method="dopri5")
        probabilities: Tensor = self.model.head(x[-1]).softmax(-1)
        return probabilities
