"""Solves of what the server draws itself: base draws of samples, probes of an estimated trace."""

import asyncio
import secrets

import numpy as np

from service.api.answers import Solved, per_point
from service.api.errors import ApiError, Code
from service.api.parameters import Probes
from service.api.solving import Job, solve
from service.engine.draws import SEED_LIMIT, draw_items
from service.engine.stepper import Array

FEW_DRAWS = 20
"""Up to here drawing takes well under a millisecond and stays on the event loop."""


async def draw(job: Job, n: int, seed: int | None) -> tuple[Solved, int]:
    """n draws from a seed, solved, and the seed; without one it is chosen. Errors: as solve."""
    chosen = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    spec = job.plan.program.spec.input
    many = n > FEW_DRAWS
    draws = await asyncio.to_thread(draw_items, spec, chosen, n) if many else draw_items(spec, chosen, n)
    return await solve(job, draws), chosen


async def estimate(job: Job, points: Array, probes: Probes) -> tuple[Solved, int]:
    """Hutchinson's estimate point by point, and the seed of its probes. Each probe of each point is a row of its own.

    Shapes: points [item, ...].
    Errors: as solve; ApiError 413 for too many rows.
    """
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    seed = secrets.randbelow(SEED_LIMIT) if probes.seed is None else probes.seed
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, seed, len(points), probes.count) for spec in job.plan.program.spec.args)
    )
    rows = await solve(job, np.repeat(points, probes.count, axis=0), args, rows_per_item=probes.count)
    return per_point(rows, probes.count), seed
