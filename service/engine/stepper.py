"""The seam between the engine and the backends: a program as four maps on arrays with a lane axis."""

from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from node_model.manifest import ProgramSpec

Array = NDArray[Any]


class Carried(NamedTuple):
    """What a step takes and gives back, in the order of the graphs. Times are float64, counts int64."""

    y: Array  # [lane, dim]
    f: Array  # [lane, dim], the field at (t, y)
    t: Array  # [lane]
    dt: Array  # [lane], magnitude of the next attempt
    accepted: Array  # [lane] bool, outcome of the last attempt
    nonfinite: Array  # [lane], non-finite attempts in a row
    nfe: Array  # [lane]


class Limits(NamedTuple):
    """What a lane must keep to, constant over the solve."""

    t_end: Array  # [lane]
    rtol: Array  # [lane]
    atol: Array  # [lane]
    max_nfe: Array  # [lane] int64


class Stepped(NamedTuple):
    """Lanes after one attempt; a status other than 0 ends a lane."""

    carried: Carried
    status: Array  # [lane] int64, node_model.status.Status
    ratio: Array  # [lane], error ratio of the attempt
    err_norm: Array  # [lane], RMS error of the attempt, largest part, state units


class Stepper(Protocol):
    """One program of one model, ready to run. Called from several threads at once."""

    @property
    def spec(self) -> ProgramSpec:
        """What the artifact says of the program."""
        ...

    def encode(self, inputs: Array) -> Array:
        """Initial states. Shapes: [lane, *input.shape] -> [lane, dim]."""
        ...

    def start(
        self, y: Array, t: Array, t_end: Array, max_nfe: Array, args: tuple[Array, ...]
    ) -> tuple[Array, Array, Array]:
        """The field at the start, and lanes that end there. Shapes: y [lane, dim] -> f [lane, dim], nfe, status."""
        ...

    def step(self, method: str, carried: Carried, limits: Limits, args: tuple[Array, ...]) -> Stepped:
        """One attempt on every lane given; all of them must be running."""
        ...

    def decode(self, y: Array) -> tuple[Array, ...]:
        """Answers at the end. Shapes: [lane, dim] -> each [lane, *output.shape]."""
        ...
