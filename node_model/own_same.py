"""Whether a program that a package builds is the one an artifact was made of."""

import math
from typing import TYPE_CHECKING, Any

from node_model.manifest import ProgramSpec

if TYPE_CHECKING:
    from node_model.own import OwnProgram


def check_same(wanted: "OwnProgram", spec: ProgramSpec) -> None:
    """Hold a program against its manifest: what a request gives and what is made of it must mean the same in both.

    Errors: ValueError naming the first thing that differs.
    """
    args = {arg.name: arg for arg in wanted.args}
    pairs: dict[str, tuple[Any, Any]] = {
        "interval": (_numbers(wanted.interval), spec.interval),
        "input": (wanted.input, spec.input.name),
        "input range": (_numbers(wanted.range), spec.input.range),
        "input draw": (wanted.draw, spec.input.draw),
        "outputs": (tuple(wanted.outputs), tuple(output.name for output in spec.outputs)),
        "args": (tuple(args), tuple(arg.name for arg in spec.args)),
        "state_shape": (math.prod(wanted.state_shape or (spec.dim,)), spec.dim),
        "parts": (dict(wanted.parts or {"state": spec.dim}), {part.name: part.size for part in spec.parts}),
    }
    if wanted.draw:
        pairs["drawn_shape"] = (tuple(wanted.drawn_shape), spec.input.shape)
    for there in spec.args:
        here = args.get(there.name)
        if here is not None:
            pairs |= {
                f"{here.name} shape": (tuple(here.shape), there.shape),
                f"{here.name} range": (_numbers(here.range), there.range),
                f"{here.name} draw": (here.draw, there.draw),
            }
    for field, (one, other) in pairs.items():
        # In order: the flat state is cut by it.
        if one != other or (isinstance(one, dict) and list(one) != list(other)):
            raise ValueError(f"{wanted.name}: {field}: {one} here, {other} in the artifact")


def _numbers(given: Any) -> tuple[float, ...] | None:
    return None if given is None else tuple(map(float, given))
