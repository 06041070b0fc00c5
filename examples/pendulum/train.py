"""Learn the pendulum's law of motion from measured swings of 60 pendulums: a minute on one core.

Writes weights.pt, and states.npz with pendulums that training did not see.

Run: python train.py [--steps 2000]
"""

import argparse

import numpy as np
import torch
from pendulum import END, WEIGHTS, LearnedPendulum, draw, true_motion
from rich.progress import track

from node_model.adjoint import odeint

PENDULUMS, EVERY, NOISE = 60, 0.1, np.array([0.005, 0.02])
"""Measured every so many seconds, with noise of angle and velocity. Units: s; rad, rad/s."""
WINDOW = 12
"""Measurements that are foretold from the one before them: whole swings would be hard to learn from."""
BATCH, LEARNING_RATE, TOL = 256, 5e-3, 1e-5
HELD_OUT = 1_000


def main() -> None:
    """Measure, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000)
    steps = parser.parse_args().steps
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    swings, lengths = measured(rng)
    field = LearnedPendulum()
    optimiser = torch.optim.Adam(field.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    moments = torch.arange(WINDOW + 1, dtype=torch.float64) * EVERY
    losses = []
    for step in track(range(steps), "training"):
        which, first = rng.integers(0, PENDULUMS, BATCH), rng.integers(0, swings.shape[1] - WINDOW, BATCH)
        window = swings[which[:, None], first[:, None] + np.arange(WINDOW + 1)]
        length = lengths[which]
        foretold = odeint(lambda t, y, length=length: field(t, y, (length,)), window[:, 0], moments, rtol=TOL, atol=TOL)
        loss = (foretold[1:].transpose(0, 1) - window[:, 1:]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % (steps // 10 or 1) == 0:
            print(f"step {step + 1}: root mean square of the miss {np.sqrt(np.mean(losses[-100:])):.4f}")
    torch.save(field.state_dict(), WEIGHTS)
    states, held_lengths = draw(np.random.default_rng(1), HELD_OUT)
    np.savez("states.npz", state=states, length=held_lengths)
    print(f"{WEIGHTS} and states.npz: written\nnext: odetrain pack pendulum:build --name pendulum --example states.npz")


def measured(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Swings with the noise of measuring, and lengths. Shapes: [pendulum, moment, 2], [pendulum]."""
    times = np.arange(0, END + EVERY / 2, EVERY)
    states, lengths = draw(rng, PENDULUMS)
    swings = np.stack([true_motion(state, length, times) for state, length in zip(states, lengths, strict=True)])
    noisy = swings + NOISE * rng.standard_normal(swings.shape)
    return torch.from_numpy(noisy).float(), torch.from_numpy(lengths).float()


if __name__ == "__main__":
    main()
