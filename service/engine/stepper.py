"""The seam between the engine and the backends: a program as four maps on arrays with a lane axis.

What is an array is the backend's affair (numpy, or tensors on a device): the engine only hands lanes back, selects some
of them and joins them with others, through the backend. What it must look at comes as numpy arrays in `Stepped`.
"""

from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from node_model.manifest import ProgramSpec

Array = NDArray[Any]


class Lanes(NamedTuple):
    """Lanes under way: what a step takes and gives back, then what it only reads.

    Times and tolerances are float64, counts int64.
    """

    y: Any  # [lane, dim]
    f: Any  # [lane, dim], the field at (t, y)
    t: Any  # [lane]
    dt: Any  # [lane], magnitude of the next attempt
    accepted: Any  # [lane] bool, outcome of the last attempt
    nonfinite: Any  # [lane], non-finite attempts in a row
    nfe: Any  # [lane]
    t_end: Any  # [lane]
    rtol: Any  # [lane]
    atol: Any  # [lane]
    max_nfe: Any  # [lane]
    args: tuple[Any, ...]  # each [lane, ...], constant over the solve


CARRIED = Lanes._fields[:7]
"""What a step takes and gives back, in the order of the graphs."""
LIMITS = Lanes._fields[7:11]
"""What a lane must keep to, constant over the solve."""


class Stepped(NamedTuple):
    """Lanes after a start or an attempt, and what the engine must know of them, as numpy arrays [lane]."""

    lanes: Lanes
    status: Array  # node_model.status.Status; not 0 ends a lane
    t: Array
    nfe: Array
    accepted: Array  # bool
    err_norm: Array  # RMS error of the attempt, largest part, state units
    ratio: Array  # that error in the lane's own tolerance; at most 1 where accepted


class Terms(NamedTuple):
    """How rows are to be solved; without `t_end` to the end of the interval.

    Units: first_dt and t_end in the field's time, the former a magnitude; max_nfe in field evaluations.
    """

    rtol: Array  # [row]
    atol: Array  # [row]
    max_nfe: Array  # [row]
    first_dt: Array  # [row]
    t_end: Array | None = None  # [row]


class Rows(NamedTuple):
    """Rows about to start."""

    inputs: Array  # [row, *input.shape]
    args: tuple[Array, ...]  # each [row, ...]
    terms: Terms


class Stepper(Protocol):
    """One program of one model, ready to run. Called from several threads at once."""

    @property
    def spec(self) -> ProgramSpec:
        """What the artifact says of the program."""
        ...

    def start(self, rows: Rows) -> Stepped:
        """Encode rows and evaluate the field once; rows may end there. `accepted` is true, `err_norm`, `ratio` zero."""
        ...

    def step(self, method: str, lanes: Lanes) -> Stepped:
        """One attempt on every lane given; all of them must be running."""
        ...

    def restart(self, lanes: Lanes, terms: Terms) -> Stepped:
        """Lanes that `start` gave, still at their start, on other terms: no evaluation is made or counted."""
        ...

    def onward(self, lanes: Lanes, index: Array, t_end: Array) -> Lanes:
        """Send the lanes of the given numbers, which are where they had to go, to another time. Shapes: both [n]."""
        ...

    def select(self, lanes: Lanes, index: Array) -> Lanes:
        """The lanes of the given numbers. Shapes: index [n] int -> n lanes."""
        ...

    def join(self, lanes: Lanes, others: Lanes) -> Lanes:
        """Lanes and then the others."""
        ...

    def peek(self, lanes: Lanes, names: tuple[str, ...]) -> tuple[Array, ...]:
        """Fields of lanes as numpy arrays."""
        ...

    def decode(self, y: Any) -> tuple[Array, ...]:
        """Answers from states, which may be numpy arrays, as numpy arrays.

        Shapes: y [lane, dim] -> each [lane, *output.shape].
        """
        ...
