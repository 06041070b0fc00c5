"""Shapes and protocols, named once.

Dimensions: `lane` (row of the solver batch), `dim` (flat state of a lane), `stage` (field evaluation inside a step).
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Args = tuple[Tensor, ...]
"""Per-lane constants over a solve, each [lane, ...]: a conditioning vector, a Hutchinson probe."""


class VectorField(Protocol):
    """The right-hand side f(t, y, args).

    Shapes: t [lane] in the state's dtype, y [lane, dim] -> [lane, dim].
    """

    def __call__(self, t: Tensor, y: Tensor, args: Args, /) -> Tensor: ...


@dataclass(frozen=True)
class Part:
    """A named slice `start:stop` of the flat state with an error norm of its own.

    State outside every part is integrated but not measured (the seminorm of Kidger et al. 2021 needs that).
    """

    name: str
    start: int
    stop: int


def parts_of(sizes: dict[str, int]) -> tuple[Part, ...]:
    """Lay named parts one after another, in the order given."""
    parts, start = [], 0
    for name, size in sizes.items():
        parts.append(Part(name, start, start + size))
        start += size
    return tuple(parts)
