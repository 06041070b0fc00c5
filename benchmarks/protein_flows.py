"""Discrete flows on the protein table, for docs/paper.md: zuko's NSF and MAF, and a Gaussian, on cnf-protein's split.

Rows, split and standardisation are those of `odetrain cnf --data protein`. The epoch with the best held-out score is
scored on the test rows, once.

Run, with zuko installed: python -m benchmarks.protein_flows [--epochs 25]
"""

import argparse
import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import zuko
from rich.progress import track
from torch import Tensor

from training.data import PointSet, load_points
from training.records import rounded, write_record

TRANSFORMS, HIDDEN = 5, (128, 128)
BATCH, LEARNING_RATE = 256, 1e-3
SEED = 0
FLOWS: dict[str, Callable[..., Any]] = {"nsf": zuko.flows.NSF, "maf": zuko.flows.MAF}


def main() -> None:
    """Write docs/runs/{gaussian,nsf,maf}-protein.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    epochs = parser.parse_args().epochs
    data = load_points("protein", SEED)
    command = f"python -m benchmarks.protein_flows --epochs {epochs}"
    write_record("gaussian-protein", command=command, seed=SEED, metrics=gaussian(data))
    for name in FLOWS:
        write_record(f"{name}-protein", command=command, seed=SEED, metrics=trained(name, data, epochs))


def gaussian(data: PointSet) -> dict[str, Any]:
    """A normal distribution with the training rows' mean and covariance."""
    train, test = (standardised(data, rows).double() for rows in (data.train, data.test))
    fitted = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.T))
    parameters = train.shape[1] * (train.shape[1] + 3) // 2
    return metrics_of("gaussian", parameters, [], fitted.log_prob(test))


def trained(name: str, data: PointSet, epochs: int) -> dict[str, Any]:
    """A flow trained by maximum likelihood."""
    torch.manual_seed(SEED)
    train, held, test = (standardised(data, rows) for rows in (data.train, data.held, data.test))
    flow = FLOWS[name](train.shape[1], transforms=TRANSFORMS, hidden_features=HIDDEN)
    optimiser = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    best, state, history = math.inf, flow.state_dict(), []
    for epoch in track(range(1, epochs + 1), name):
        for rows in torch.randperm(len(train)).split(BATCH):
            optimiser.zero_grad()
            (-flow().log_prob(train[rows]).mean()).backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            nll = float(-flow().log_prob(held).mean())
        history.append({"epoch": epoch, "held_nll_standardised": rounded(nll)})
        if nll < best:
            best, state = nll, copy.deepcopy(flow.state_dict())
    flow.load_state_dict(state)
    with torch.no_grad():
        return metrics_of(name, sum(p.numel() for p in flow.parameters()), history, flow().log_prob(test))


def standardised(data: PointSet, rows: Any) -> Tensor:
    """Rows in units of the training rows' deviations."""
    return torch.from_numpy(((rows - np.array(data.mean)) / np.array(data.std)).astype(np.float32))


def metrics_of(family: str, parameters: int, history: list[dict[str, float]], values: Tensor) -> dict[str, Any]:
    """What docs/paper.md wants to know."""
    return {
        "family": family,
        "data": "protein",
        "epochs": len(history),
        "parameters": parameters,
        "history": history,
        "test": {
            "items": len(values),
            "log_density_standardised": rounded(float(values.mean())),
            "standard_error": rounded(float(values.std()) / math.sqrt(len(values)), 3),
        },
    }


if __name__ == "__main__":
    main()
