"""How many lanes a step should have on this machine: measured, because a conv field and a small MLP differ a lot."""

import time
from collections.abc import Callable

import numpy as np

from node_model.manifest import TensorSpec
from service.engine.stepper import Array, Carried, Limits, Stepper

MOST_LANES = 256
LONGEST_STEP = 3e-3
"""Seconds. A longer step would keep newcomers waiting."""
NEARLY_BEST = 1.1
REPEATS = 5


def example(spec: TensorSpec, lanes: int) -> Array:
    """Numbers of the right kind to run a graph on. Shapes: -> [lane, *spec.shape]."""
    draw = np.random.default_rng(0)
    size = (lanes, *spec.shape)
    if spec.range is not None:
        values = draw.uniform(*spec.range, size=size)
    elif spec.draw == "rademacher":
        values = draw.choice([-1.0, 1.0], size=size)
    else:
        values = draw.standard_normal(size)
        if spec.normalisation is not None:
            values = values * spec.normalisation.std + spec.normalisation.mean
    return values.astype(spec.dtype)


def measured_lanes(seconds_of: Callable[[int], float]) -> int:
    """The least width whose time per lane is within 10 % of the best one, its step within LONGEST_STEP."""
    seconds = {1: seconds_of(1)}
    lanes = 2
    while lanes <= MOST_LANES:
        taken = seconds_of(lanes)
        if taken > LONGEST_STEP:
            break
        seconds[lanes] = taken
        lanes *= 2
    best = min(taken / lanes for lanes, taken in seconds.items())
    return next(lanes for lanes, taken in seconds.items() if taken / lanes <= NEARLY_BEST * best)


def step_seconds(stepper: Stepper, method: str, lanes: int) -> float:
    """Time of one step at a width: the least of a few, after one that warms up. Units: seconds."""
    spec = stepper.spec
    t0, t_end = spec.interval
    y, t = stepper.encode(example(spec.input, lanes)), np.full(lanes, t0)
    args = tuple(example(arg, lanes) for arg in spec.args)
    tol, budget = np.full(lanes, spec.tol.default), np.full(lanes, 10**6)
    limits = Limits(np.full(lanes, t_end), tol, tol, budget)
    f, nfe, _ = stepper.start(y, t, limits.t_end, budget, args)
    dt = np.full(lanes, abs(t_end - t0) / 100)
    carried = Carried(y, f, t, dt, np.ones(lanes, np.bool_), np.zeros(lanes, np.int64), nfe)
    stepper.step(method, carried, limits, args)
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        stepper.step(method, carried, limits, args)
        taken.append(time.perf_counter() - begun)
    return min(taken)
