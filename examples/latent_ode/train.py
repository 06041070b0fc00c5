"""Train the latent ODE on spirals: six minutes on one core.

Writes weights.pt, and series.npy with spirals that training did not see.

Run: python train.py [--steps 4000]
"""

import argparse
import math

import numpy as np
import torch
from latent_ode import WEIGHTS, LatentODE
from rich.progress import track
from spirals import END, NOISE, draw, held_out, observe
from torch import Tensor

from node_model.adjoint import odeint

BATCH, LEARNING_RATE = 128, 1e-2
MOMENTS = 24
"""Random times of a step at which forecasts are judged, after the start and before the end."""
TOL = 1e-4
HELD_OUT = 2_000


def main() -> None:
    """Train, save, and write what was held out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    model = LatentODE()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=options.steps)
    losses = []
    for step in track(range(options.steps), "training"):
        optimiser.zero_grad()
        # A whole turn is too far to learn from at first: how far is looked ahead grows over half of the training.
        reach = END * min(1.0, 0.1 + 1.8 * step / options.steps)
        loss = negative_elbo(model, np.random.default_rng((options.seed, step)), reach)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % (options.steps // 10 or 1) == 0:
            print(f"step {step + 1}: loss {np.mean(losses[-100:]):.3f} nats a moment")
    torch.save(model.state_dict(), WEIGHTS)
    np.save("series.npy", held_out(HELD_OUT)[1])
    print(
        f"{WEIGHTS} and series.npy: written\nnext: odetrain pack latent_ode:build --name spirals --example series.npy"
    )


def negative_elbo(model: LatentODE, rng: np.random.Generator, reach: float) -> Tensor:
    """Negative evidence lower bound of a fresh batch, with moments from the start to `reach`. Units: nats a moment.

    Source: Kingma & Welling 2014; Chen et al. 2018, appendix E.
    """
    spirals = draw(rng, BATCH)
    times = np.sort(rng.uniform(0, reach, MOMENTS))
    truth = spirals.at(np.broadcast_to(times, (BATCH, MOMENTS))) + NOISE * rng.standard_normal((BATCH, MOMENTS, 2))
    mean, log_variance = model.encoder(torch.from_numpy(observe(rng, spirals)))
    drawn = torch.from_numpy(rng.standard_normal(mean.shape).astype(np.float32))
    z0 = mean + drawn * (log_variance / 2).exp()
    grid = torch.from_numpy(np.concatenate([[0.0], times]))
    field = model.field
    zs = odeint(lambda t, z: field(t, z, ()), z0, grid, rtol=TOL, atol=TOL)[1:]
    place, deviation = model.decoder(zs)
    miss = (torch.from_numpy(truth.astype(np.float32)).transpose(0, 1) - place) / deviation
    log_likelihood = (-miss.square() / 2 - deviation.log() - math.log(2 * math.pi) / 2).sum(-1).sum(0)
    divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(-1) / 2
    return (divergence - log_likelihood).mean() / MOMENTS


if __name__ == "__main__":
    main()
