"""A model with its network replaced by what it takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from node_model.manifest import ProgramSpec
from service.engine.cost import CostTable
from service.engine.program import ServedProgram, usual_factor, worst_factor
from service.engine.speed import TURN_SECONDS, Speed
from service.simulation.stepper import Clock, SimulatedStepper, between


@dataclass(frozen=True)
class Timings:
    """What the graphs of a program take somewhere: `start` a row's encoding and first evaluation, `steps` a step by
    method and number of lanes, `lanes` the width that each method's steps have at most.

    Units: seconds.
    """

    start: float
    steps: Mapping[str, Mapping[int, float]]
    lanes: Mapping[str, int]

    def evaluation(self, method: str, nfe_attempt: int) -> float:
        """Seconds of a lane evaluation in steps of full width, with what a turn costs beside."""
        width = self.lanes[method]
        return (between(self.steps[method])(width) + TURN_SECONDS) / (width * nfe_attempt)

    def stretched(self, factor: float) -> "Timings":
        """Where everything, turns included, takes so many times as long."""
        steps = {
            method: {lanes: factor * (one + TURN_SECONDS) - TURN_SECONDS for lanes, one in seconds.items()}
            for method, seconds in self.steps.items()
        }
        return Timings(factor * self.start, steps, self.lanes)


def timings_of(program: ServedProgram) -> Timings:
    """As they were measured when the program was loaded."""
    method = next(iter(program.lanes))
    steps = {
        method: {lanes: program.speed.latency(0, method, 1, lanes) - TURN_SECONDS for lanes in range(1, width + 1)}
        for method, width in program.lanes.items()
    }
    return Timings(program.speed.latency(1, method, 0, 1), steps, dict(program.lanes))


def simulated_program(
    model: str, spec: ProgramSpec, timings: Timings, clock: Clock, *, beside: float = 0.0
) -> ServedProgram:
    """Takes its time in simulation. `beside`: further seconds for each row that nobody predicts, of reading its request
    and writing its answer."""
    at = {method: between(seconds) for method, seconds in timings.steps.items()}
    evaluations = {method: timings.evaluation(method, spec.methods[method].nfe_attempt) for method in timings.lanes}
    stepper = SimulatedStepper(
        spec, clock, timings.start + beside, lambda method, width: at[method](width), TURN_SECONDS
    )
    speed = Speed(timings.start, evaluations, timings.steps, clock)
    factors = usual_factor(clock), worst_factor(clock)
    return ServedProgram(model, model, stepper, CostTable(spec), speed, timings.lanes, *factors)
