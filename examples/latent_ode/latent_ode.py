"""A latent ODE: a recurrent network reads a series backward, a differential equation carries on what it made of it.

Source: Chen et al. 2018, section 5; Rubanova et al. 2019, "Latent ODEs for irregularly-sampled time series".
"""

from pathlib import Path

import torch
from spirals import END, MOST_SEEN
from torch import Tensor, nn

from node_model.own import OwnModel, OwnProgram
from node_model.types import Args

LATENT, HIDDEN = 6, 64
WEIGHTS = Path("weights.pt")


class Encoder(nn.Module):
    """The latent state at t = 0: mean and log-variance of its posterior.

    A GRU reads from the last row to the first; of each it sees the place, the time to the one read before, and whether
    it was observed at all, so that rows of zeros at the end are read first and say nothing.

    Shapes: [series, moment, 4] -> [series, LATENT] twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2 * LATENT)

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of the latent state."""
        time, rest = series[..., :1], series[..., 1:]
        gap = torch.cat([time[:, :1], time[:, 1:] - time[:, :-1]], 1) * rest[..., -1:]
        _, last = self.gru(torch.cat([gap, rest], -1).flip(1))
        mean, log_variance = self.head(last[0]).chunk(2, -1)
        return mean, log_variance


class PosteriorMean(nn.Module):
    """What is served: the likeliest latent state, not a draw."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, series: Tensor) -> Tensor:
        """Shapes: [series, moment, 4] -> [series, LATENT]."""
        mean: Tensor = self.encoder(series)[0]
        return mean


class LatentField(nn.Module):
    """How the latent state moves; the same at all times."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, LATENT)
        )

    def forward(self, t: Tensor, z: Tensor, args: Args) -> Tensor:
        """dz/dt. Shapes: t [series], z [series, LATENT] -> [series, LATENT]."""
        dz: Tensor = self.net(z)
        return dz


class Decoder(nn.Module):
    """Where the series is, and how sure that is: mean and standard deviation of either coordinate.

    Shapes: [series, LATENT] -> [series, 2] twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 4))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Place and its standard deviation."""
        place, raw = self.net(z).chunk(2, -1)
        return place, nn.functional.softplus(raw) + 1e-3


class LatentODE(nn.Module):
    """The three together, for training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.field, self.decoder = Encoder(), LatentField(), Decoder()


def build() -> OwnModel:
    """For `odetrain pack latent_ode:build`: the trained model, which answers for any times between 0 and END."""
    model = LatentODE()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return OwnModel(
        "predict",
        OwnProgram(
            PosteriorMean(model.encoder),
            model.field,
            model.decoder,
            interval=(0.0, END),
            input="series",
            outputs=("place", "deviation"),
        ),
        description=f"latent ODE: up to {MOST_SEEN} observations of a spiral in, its places up to {END:g} out",
    )
