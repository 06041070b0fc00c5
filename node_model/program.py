"""A program: three maps around one initial value problem. Everything downstream speaks only of these."""

from dataclasses import dataclass

from torch import nn

from node_model.manifest import TensorSpec
from node_model.types import Part, parts_of


@dataclass(frozen=True)
class Program:
    """One use of a model, before export.

    `encode(input)` gives y0 [lane, dim]; `field(t, y, args)` is a VectorField module; `decode(y)` gives the outputs as
    a tuple. `args` are drawn or given by the caller, one tensor per spec.

    Shapes: input [lane, *input.shape]; outputs [lane, *output.shape].
    Units: `interval` in the field's time, from start to end; it may run backward.
    """

    name: str
    encode: nn.Module
    field: nn.Module
    decode: nn.Module
    interval: tuple[float, float]
    part_sizes: dict[str, int]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    args: tuple[TensorSpec, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The pieces of the flat state, one after another."""
        return parts_of(self.part_sizes)

    @property
    def dim(self) -> int:
        """Numbers in the flat state of a lane."""
        return sum(self.part_sizes.values())
