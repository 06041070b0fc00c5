"""A model of a user's own: torch modules around an initial value problem, made into programs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from node_model.export import CARRIED, LIMITS, STEP_OUTPUTS
from node_model.manifest import Normalisation, PictureSpec, ProgramSpec, Task, TensorSpec
from node_model.own_checks import check_names, check_parts, check_range, check_shape
from node_model.own_same import check_same
from node_model.program import Program
from node_model.types import Args

PROGRAMS_OF: dict[Task, tuple[str, ...]] = {
    "classify": ("classify",),
    "density": ("log_density", "sample", "log_density_hutchinson"),
    "predict": ("predict",),
}
"""The programs that answer a task's routes, the one that it cannot be without first."""
Draw = Literal["standard_normal", "rademacher"]
Shape = tuple[int, ...]
DTypeName = Literal["float32", "float64"]
LABELS = "labels"
"""In a file of examples: the class numbers that lie beside a classifier's inputs."""
STATE = frozenset({"y"})
"""What the graphs call the state."""
RESERVED = STATE | {*STEP_OUTPUTS, *LIMITS, *(f"{name}_in" for name in CARRIED)}
"""Names of a step graph's own tensors."""


@dataclass(frozen=True)
class OwnArg:
    """A constant of an item's solve, given by the caller or, with `draw`, drawn by the server.

    Errors: ValueError for a shape or a range that is none.
    """

    name: str
    shape: Shape = ()
    range: tuple[float, float] | None = None
    draw: Draw | None = None

    def __post_init__(self) -> None:
        check_shape(f"{self.name}: shape", self.shape)
        check_range(f"{self.name}: range", self.range)


@dataclass(frozen=True)
class OwnProgram:
    """An initial value problem with a map in front and a map behind; shapes are read off an example.

    `encode(input)` gives the initial state, `field(t, y, args)` its derivative, `decode(y)` the answer at a stop: a
    tensor, or a tuple with one for each name in `outputs`. Each item is a lane with a time of its own, and no lane may
    look at another. `parts` names pieces of the flat state that are to have error norms of their own. With `draw` the
    server draws the input, of `drawn_shape`. `range` of the input is checked of every request.

    Shapes: input [lane, ...]; t [lane]; y [lane, dim], or [lane, *state_shape] where that is given; args [lane, ...] ->
        outputs [lane, ...].
    Units: `interval` in the field's time, from start to end; it may run backward.
    Errors: ValueError naming what cannot be meant.
    """

    encode: nn.Module
    field: nn.Module
    decode: nn.Module
    interval: tuple[float, float] = (0.0, 1.0)
    name: str = "predict"
    input: str = "input"
    outputs: tuple[str, ...] = ("output",)
    args: tuple[OwnArg, ...] = ()
    state_shape: Shape | None = None
    parts: Mapping[str, int] | None = None
    range: tuple[float, float] | None = None
    normalisation: Normalisation | None = None
    picture: PictureSpec | None = None
    draw: Draw | None = None
    drawn_shape: Shape = ()

    def __post_init__(self) -> None:
        for part in ("encode", "field", "decode"):
            given: object = getattr(self, part)
            if not isinstance(given, nn.Module):
                what = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
                raise ValueError(f"{self.name}: {part}: expected a torch.nn.Module, got {what}")
        if (
            len(self.interval) != 2
            or not all(map(math.isfinite, self.interval))
            or self.interval[0] == self.interval[1]
        ):
            raise ValueError(f"{self.name}: interval: expected two numbers that differ, got {self.interval!r}")
        args: object = self.args
        if not isinstance(args, tuple | list):
            raise ValueError(f"{self.name}: args: expected a tuple of OwnArg(...), got {args!r}")
        for arg in args:
            if not isinstance(arg, OwnArg):
                raise ValueError(f"{self.name}: args: expected OwnArg(...), got {arg!r}")
        names = [arg.name for arg in self.args]
        check_names(f"{self.name}: name", [self.name])
        check_names(f"{self.name}: outputs", self.outputs, STATE)
        check_names(f"{self.name}: args", names, RESERVED)
        check_names(f"{self.name}: input and args", [self.input, *names], STATE | {LABELS})
        check_parts(f"{self.name}: parts", self.parts)
        check_range(f"{self.name}: range", self.range)
        check_shape(f"{self.name}: drawn_shape", self.drawn_shape)
        if not self.outputs:
            raise ValueError(f"{self.name}: outputs: expected the name of one or more")
        if self.state_shape is not None:
            sizes: object = self.state_shape
            if not isinstance(sizes, tuple | list) or not sizes or not all(isinstance(n, int) and n > 0 for n in sizes):
                raise ValueError(
                    f"{self.name}: state_shape: expected the shape of one item's state, whole numbers from 1 as "
                    f"(1, 28, 28); got {sizes!r}. A state of one number is [item, 1], without state_shape"
                )
        if self.draw and not self.drawn_shape:
            raise ValueError(
                f"{self.name}: drawn_shape: expected the shape of a draw, as (2,); got {self.drawn_shape!r}"
            )


@dataclass(frozen=True)
class Shapes:
    """Of one program, without the lane axis; `wide`: which outputs are float64 whatever the state is."""

    input: Shape
    dim: int
    outputs: tuple[Shape, ...]
    wide: tuple[bool, ...]


class OwnModel(nn.Module):
    """What `odetrain pack` makes an artifact of: one program or more, and the task they serve.

    Errors: ValueError for programs that do not answer the task's routes, or a classifier without labels.
    """

    def __init__(self, task: Task, *programs: OwnProgram, labels: Iterable[str] = (), description: str = "") -> None:
        super().__init__()
        if task not in PROGRAMS_OF:
            raise ValueError(f"task: expected one of {', '.join(PROGRAMS_OF)}; got {task!r}")
        _check_programs(task, programs)
        self.task: Task = task
        self.labels, self.description = tuple(map(str, labels)), description
        if (task == "classify") != bool(self.labels):
            raise ValueError("labels: expected the names of the classes, of a classifier and of no other")
        self.wanted = {program.name: program for program in programs}
        # Modules that several programs share are one module in each of these, and their weights are saved once each.
        self.maps = nn.ModuleDict({name: _Maps(program) for name, program in self.wanted.items()})
        self._shapes: dict[str, Shapes] = {}
        # So that a model without weights has a precision as well, which .double() changes.
        self.register_buffer("_precision", torch.zeros(()), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """Of the state."""
        parameter = next(self.parameters(), None)
        return self.get_buffer("_precision").dtype if parameter is None else parameter.dtype

    @property
    def shapes(self) -> dict[str, Shapes]:
        """What is known of the programs' shapes, by name."""
        return dict(self._shapes)

    def take_shapes(self, shapes: Mapping[str, Shapes]) -> None:
        """Say what an example has shown."""
        self._shapes |= shapes

    def take_specs(self, specs: Mapping[str, ProgramSpec]) -> None:
        """Take the shapes from a manifest. Errors: ValueError naming what is another than there."""
        if set(specs) != set(self.wanted):
            raise ValueError(f"programs: {', '.join(self.wanted)} here, {', '.join(specs)} in the artifact")
        for name, spec in specs.items():
            check_same(self.wanted[name], spec)
            wide = tuple(output.dtype == "float64" and spec.input.dtype == "float32" for output in spec.outputs)
            self._shapes[name] = Shapes(spec.input.shape, spec.dim, tuple(o.shape for o in spec.outputs), wide)

    def program(self, name: str) -> Program:
        """One program. Errors: KeyError when nobody said its shapes."""
        wanted, shapes = self.wanted[name], self._shapes[name]
        dtype: DTypeName = "float64" if self.dtype == torch.float64 else "float32"
        maps = self.maps[name]
        return Program(
            name=name,
            encode=_Encode(maps),
            field=_Field(maps),
            decode=_Decode(maps),
            interval=(float(wanted.interval[0]), float(wanted.interval[1])),
            part_sizes=dict(wanted.parts or {"state": shapes.dim}),
            input=TensorSpec(
                name=wanted.input,
                shape=shapes.input,
                dtype=dtype,
                range=wanted.range,
                normalisation=wanted.normalisation,
                picture=wanted.picture,
                draw=wanted.draw,
            ),
            outputs=tuple(
                TensorSpec(name=output, shape=shape, dtype="float64" if wide else dtype)
                for output, shape, wide in zip(wanted.outputs, shapes.outputs, shapes.wide, strict=True)
            ),
            args=tuple(
                TensorSpec(name=arg.name, shape=arg.shape, dtype=dtype, range=arg.range, draw=arg.draw)
                for arg in wanted.args
            ),
        )

    def programs(self) -> tuple[Program, ...]:
        """All of them. Errors: KeyError when nobody said the shapes of one."""
        return tuple(self.program(name) for name in self.wanted)


def _check_programs(task: Task, programs: tuple[OwnProgram, ...]) -> None:
    """Whether a task's routes can ask these programs. Errors: ValueError."""
    names, (first, *others) = [program.name for program in programs], PROGRAMS_OF[task]
    if first not in names or len(set(names)) < len(names) or not set(names) <= {first, *others}:
        more = f", and {' and '.join(others)} if you like" if others else ""
        raise ValueError(f"programs: for {task} expected one named {first}{more}; got {', '.join(names) or 'none'}")
    for program in programs:
        if (program.draw is not None) != (program.name == "sample"):
            raise ValueError(f"{program.name}: draw: expected of the input of a sample program, and of no other")
        for arg in program.args:
            if task != "predict" and arg.draw is None:
                raise ValueError(
                    f"{program.name}: {arg.name}: expected draw=...: callers give arguments to predict alone"
                )


class _Maps(nn.Module):
    """The three modules of a program as they were given, and the state's shape."""

    def __init__(self, program: OwnProgram) -> None:
        super().__init__()
        self.encode, self.field, self.decode = program.encode, program.field, program.decode
        self.state_shape = program.state_shape

    def shaped(self, y: Tensor) -> Tensor:
        """The flat state as the modules know it."""
        return y if self.state_shape is None else y.reshape(-1, *self.state_shape)


class _Encode(nn.Module):
    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, inputs: Tensor) -> Tensor:
        y: Tensor = self.maps.encode(inputs)  # type: ignore[operator]
        return y.flatten(1)


class _Field(nn.Module):
    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, t: Tensor, y: Tensor, args: Args) -> Tensor:
        f: Tensor = self.maps.field(t, self.maps.shaped(y), args)  # type: ignore[operator]
        return f.flatten(1)


class _Decode(nn.Module):
    def __init__(self, maps: nn.Module) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, y: Tensor) -> tuple[Tensor, ...]:
        outputs = self.maps.decode(self.maps.shaped(y))  # type: ignore[operator]
        # An output that is the state itself would share its name in the graph.
        return tuple(output.clone() for output in (outputs if isinstance(outputs, tuple) else (outputs,)))
