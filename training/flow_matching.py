"""Flow matching: a continuous normalizing flow's field learned without solving its equation."""

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from node_model.cnf import CNF
from training.data import Floats

PAIRED = 256
"""Size of the blocks in which draws and points are paired: the time to pair n of them grows as n cubed."""


def flow_matching_loss(model: CNF, points: Tensor, rng: np.random.Generator) -> Tensor:
    """Mean squared distance of the field from the straight path between a normal draw and a point of the data.

    Draws and points are paired so that the paths of a batch are shortest in all: they then hardly cross, and a solver
    needs few steps along the flow.

    Shapes: points [item, dim] -> [].
    Source: Lipman et al. 2023, Flow matching for generative modeling, eq. 23 with sigma_min = 0; Tong et al. 2024,
        Improving and generalizing flow-based generative models with minibatch optimal transport, section 3.2.
    """
    x1 = model.into_flow(points)[0].detach()
    draws = rng.standard_normal(tuple(x1.shape)).astype(np.float32)
    x0 = torch.from_numpy(draws[paired(draws, x1.cpu().numpy())]).to(x1.device)
    t = torch.from_numpy(rng.random(len(x1)).astype(np.float32)).to(x1.device)
    found = model.field(t, torch.lerp(x0, x1, t[:, None]))
    loss: Tensor = (found - (x1 - x0)).square().mean()
    return loss


def paired(draws: Floats, points: Floats) -> npt.NDArray[np.intp]:
    """For each point its draw: within each block of PAIRED of them, the sum of squared distances is the least.

    Shapes: both [item, dim] -> [item].
    """
    blocks = [slice(first, first + PAIRED) for first in range(0, len(points), PAIRED)]
    return np.concatenate([block.start + _assigned(draws[block], points[block]) for block in blocks])


def _assigned(draws: Floats, points: Floats) -> npt.NDArray[np.intp]:
    # |a - b|^2 less what does not depend on the pairing
    cost = -2 * points @ draws.T + np.square(draws).sum(1)
    order: npt.NDArray[np.intp] = linear_sum_assignment(cost)[1]
    return order
