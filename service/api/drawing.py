"""What the server draws itself for a solve: base draws of samples, probes of an estimated trace."""

import asyncio
import secrets
from typing import Any

import numpy as np

from service.api.answers import Solved, drawn, estimated_densities, per_point, samples
from service.api.asked import Asked
from service.api.errors import ApiError, Code
from service.api.npy import first_output
from service.api.parameters import Probes
from service.api.responses import Items
from service.api.solving import Job
from service.engine.draws import SEED_LIMIT, draw_items
from service.engine.stepper import Array

FEW_DRAWS = 20
"""Up to here drawing takes well under a millisecond and stays on the event loop."""


async def asked_sample(job: Job, n: int, seed: int | None) -> Asked:
    """n draws from a seed; without one it is chosen."""
    chosen = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    spec = job.plan.program.spec.input
    many = n > FEW_DRAWS
    draws = await asyncio.to_thread(draw_items, spec, chosen, n) if many else draw_items(spec, chosen, n)
    return Asked(draws, drawn, content=_samples, array=first_output, extra={"seed": chosen})


def _samples(solved: Solved) -> dict[str, Any]:
    return {
        "samples": Items(len(solved), lambda a, b: samples(solved[a:b])),
        "predictions": Items(len(solved), lambda a, b: solved[a:b].items()),
    }


async def asked_estimate(job: Job, points: Array, probes: Probes) -> Asked:
    """Hutchinson's estimate point by point: each probe of each point is a row of its own.

    Shapes: points [item, ...].
    Errors: ApiError 413 for too many rows.
    """
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    seed = secrets.randbelow(SEED_LIMIT) if probes.seed is None else probes.seed
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, seed, len(points), probes.count) for spec in job.plan.program.spec.args)
    )
    return Asked(
        np.repeat(points, probes.count, axis=0),
        estimated_densities,
        args=args,
        array=first_output,
        extra={"seed": seed},
        rows_per_item=probes.count,
        merged=lambda rows: per_point(rows, probes.count),
    )
