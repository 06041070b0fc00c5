"""How many lanes a step should have on this machine: measured, because a conv field and a small MLP differ a lot."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from node_model.manifest import ProgramSpec, TensorSpec
from service.engine.speed import TURN_SECONDS
from service.engine.stepper import Array, Rows, Stepper, Terms

MOST_LANES = 1024
LONGEST_STEP = 6e-3
"""Seconds. A longer step would keep newcomers waiting."""
NEARLY_BEST = 1.05
LEAST_REPEATS, MOST_REPEATS = 4, 10
ENOUGH_SECONDS = 8e-3
"""Steps that take milliseconds are repeated less often: a server with many models would be long in starting."""


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


def measured_steps(seconds_of: Callable[[int], float]) -> dict[int, float]:
    """Seconds of a step by its width: 1, 2, 4, ... while it stays within LONGEST_STEP."""
    seconds = {1: seconds_of(1)}
    lanes = 2
    while lanes <= MOST_LANES:
        taken = seconds_of(lanes)
        if taken > LONGEST_STEP:
            break
        seconds[lanes] = taken
        lanes *= 2
    return seconds


def best_width(seconds: Mapping[int, float]) -> int:
    """The least width at which a turn's time per lane is within 5 % of the best."""
    per_lane = {lanes: (taken + TURN_SECONDS) / lanes for lanes, taken in seconds.items()}
    return next(lanes for lanes, taken in per_lane.items() if taken <= NEARLY_BEST * min(per_lane.values()))


def example_rows(spec: ProgramSpec, count: int, first_dt: float) -> Rows:
    """Rows to run a program on. Shapes: -> [count, ...]."""
    tol, budget = np.full(count, spec.tol.default), np.full(count, 10**6)
    args = tuple(example(arg, count) for arg in spec.args)
    return Rows(example(spec.input, count), args, Terms(tol, tol, budget, np.full(count, first_dt)))


def step_seconds(stepper: Stepper, method: str, lanes: int) -> float:
    """Time of one step at a width: the least of a few, after one that warms up. Units: seconds."""
    start, end = stepper.spec.interval
    started = stepper.start(example_rows(stepper.spec, lanes, abs(end - start) / 100))
    return _least_seconds(lambda: stepper.step(method, started.lanes))


def start_seconds(stepper: Stepper, lanes: int) -> float:
    """The same for encoding rows and evaluating the field once."""
    start, end = stepper.spec.interval
    rows = example_rows(stepper.spec, lanes, abs(end - start) / 100)
    return _least_seconds(lambda: stepper.start(rows))


def _least_seconds(work: Callable[[], object]) -> float:
    work()
    taken: list[float] = []
    while len(taken) < LEAST_REPEATS or (len(taken) < MOST_REPEATS and sum(taken) < ENOUGH_SECONDS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)
