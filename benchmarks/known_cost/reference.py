"""Float64 answers by PyTorch, as calibration makes them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from node_model.checkpoint import load_model
from node_model.solvers import solve_ivp

Array = npt.NDArray[Any]

TOL = 1e-8
BATCH = 50


def reference_logits(directory: Path, images: Array) -> Array:
    """Shapes: images [item, ...] -> [item, class]."""
    _, model = load_model(directory)
    program, found = model.double().programs()[0], []
    torch.set_num_threads(1)
    for first in track(range(0, len(images), BATCH), "float64 reference"):
        with torch.no_grad():
            y0 = program.encode(torch.from_numpy(images[first : first + BATCH]).double())
            start, end = program.interval
            solution = solve_ivp(
                program.field, y0, start, [end], rtol=TOL, atol=TOL, method="dopri5", parts=program.parts
            )
            found.append(program.decode(solution.ys[-1])[0].numpy())
    return np.concatenate(found)
