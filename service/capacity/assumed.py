"""Step times from a single number, for machines that nobody can measure on."""

from node_model.manifest import ProgramSpec
from service.engine.speed import TURN_SECONDS
from service.simulation.program import Timings

LONGEST_TURN = 3e-3
"""Seconds of a turn of full width: about what warming up chooses for a conv field and for a small network."""
DISPATCH_SECONDS = 1e-4
"""What a step takes however few its lanes, beside what a turn does."""
MOST_LANES = 1024
LEAST_SHARE = 0.1
"""Of a turn, that grows with its lanes: an evaluation that takes next to nothing is all dispatch."""


def assumed_timings(spec: ProgramSpec, evaluation: float) -> Timings:
    """Steps that grow in a straight line with their lanes, from the seconds of a lane evaluation at full width.

    `evaluation` is all that a shard does over the evaluations that it makes, encoding included, as
    odeserve_engine_step_duration_seconds_sum over odeserve_function_evaluations_total has it.
    """
    steps, lanes = {}, {}
    for method, cost in spec.methods.items():
        one = evaluation * cost.nfe_attempt
        width = 1
        while width < MOST_LANES and 2 * width * one <= LONGEST_TURN:
            width *= 2
        turn = width * one
        growing = max(turn - TURN_SECONDS - DISPATCH_SECONDS, LEAST_SHARE * turn)
        fixed = max(turn - TURN_SECONDS - growing, 0.0)
        steps[method] = {1: fixed + growing / width, width: fixed + growing}
        lanes[method] = width
    return Timings(evaluation, steps, lanes)
