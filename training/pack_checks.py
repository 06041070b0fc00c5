"""What is asked of a model before it is exported, each failure with the part's name and what would put it right."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from node_model.own import OwnModel, OwnProgram, Shapes
from node_model.program import Program
from node_model.solvers import solve_ivp
from node_model.status import Status
from node_model.torchdiffeq_field import TorchdiffeqField
from training.package import PackError

LANES = 8
"""How many items of the example are tried: enough to tell lanes apart."""
SAME = 1e-5
"""Relative to the largest number of a lane: what rounding in another batch may do in float32."""
MAX_NFE = 20_000
Tensors = tuple[Tensor, ...]
Run = Callable[[slice], Tensor]


def shapes_of(model: OwnModel, name: str, inputs: Tensor, args: Tensors) -> Shapes:
    """Run the three modules on an example and read the shapes off what comes. Errors: PackError.

    Shapes: inputs, args [item, ...].
    """
    wanted, count = model.wanted[name], len(inputs)
    t = torch.full((count,), wanted.interval[0], dtype=inputs.dtype)
    with torch.no_grad():
        y = _called(name, "encode", wanted.encode, inputs)
        _check_tensor(name, "encode", y, count, inputs.dtype)
        if wanted.state_shape is None and y.dim() != 2:
            raise PackError(
                f"{name}: encode: expected a state [item, dim], got {_shape(y)}; for a state of another shape "
                f"give state_shape={tuple(y.shape[1:])}"
            )
        if wanted.state_shape is not None and tuple(y.shape[1:]) != tuple(wanted.state_shape):
            raise PackError(f"{name}: encode: expected a state [item, {wanted.state_shape}], got {_shape(y)}")
        _check_signature(name, wanted.field)
        f = _called(name, "field", wanted.field, t, y, args)
        if not isinstance(f, Tensor) or f.shape != y.shape or f.dtype != y.dtype:
            raise PackError(f"{name}: field: expected {_shape(y)} as the state, got {_shape(f)}")
        decoded = _called(name, "decode", wanted.decode, y)
    outputs: tuple[Tensor, ...] = decoded if isinstance(decoded, tuple) else (decoded,)
    if len(outputs) != len(wanted.outputs):
        raise PackError(f"{name}: decode: gives {len(outputs)} outputs; outputs names {', '.join(wanted.outputs)}")
    for output, called in zip(outputs, wanted.outputs, strict=True):
        _check_tensor(name, f"decode: {called}", output, count, torch.float64)
    sizes = sum(wanted.parts.values()) if wanted.parts else y[0].numel()
    if sizes != y[0].numel():
        raise PackError(f"{name}: parts: expected sizes that sum to {y[0].numel()}, those of the state; got {sizes}")
    for arg, tensor in zip(wanted.args, args, strict=True):
        if tuple(tensor.shape[1:]) != tuple(arg.shape):
            raise PackError(f"{name}: {arg.name}: expected items of shape {list(arg.shape)}, got {_shape(tensor)}")
    wide = tuple(output.dtype == torch.float64 and y.dtype == torch.float32 for output in outputs)
    return Shapes(tuple(inputs.shape[1:]), y[0].numel(), tuple(tuple(o.shape[1:]) for o in outputs), wide)


def check_program(program: Program, wanted: OwnProgram, inputs: Tensor, args: Tensors, tol: float) -> Iterator[str]:
    """A line for each thing that holds on the example. Errors: PackError for the first that does not."""
    inputs, args = inputs[:LANES], tuple(arg[:LANES] for arg in args)
    name, count = program.name, len(inputs)
    with torch.no_grad():
        y = program.encode(inputs)
        t = torch.linspace(*program.interval, count + 2, dtype=torch.float64)[1:-1].to(y.dtype)
        parts: dict[str, Run] = {
            "encode": lambda rows: program.encode(inputs[rows]),
            "field": lambda rows: program.field(t[rows], y[rows], tuple(arg[rows] for arg in args)),
            "decode": lambda rows: program.decode(y[rows])[0],
        }
        for part, run in parts.items():
            whole = run(slice(None))
            if not whole.isfinite().all():
                raise PackError(f"{name}: {part}: gives a number that is not finite on the example")
            if not torch.equal(whole, run(slice(None))):
                raise PackError(
                    f"{name}: {part}: gives something else when asked again; random operations (dropout in training "
                    "mode, rand, ...) have no place in it: draws come in as arguments (OwnArg, draw=...)"
                )
            for lane in range(count):
                if not _same(whole[lane], run(slice(lane, lane + 1))[0]):
                    raise PackError(
                        f"{name}: {part}: item {lane} comes out otherwise alone than among others; no item may look at "
                        "another (batch statistics, sums over the first axis)"
                    )
        yield f"{name}: encode, field and decode are finite, repeatable, and each item is on its own"
        if isinstance(wanted.field, TorchdiffeqField):
            _check_adapted(name, wanted, wanted.field, t, y)
            yield f"{name}: the torchdiffeq field agrees with itself called with one t at a time"
        solved = solve_ivp(
            program.field,
            y,
            program.interval[0],
            [program.interval[1]],
            rtol=tol,
            atol=tol,
            parts=program.parts,
            args=args,
            max_nfe=MAX_NFE,
        )
    for lane, status in enumerate(solved.status.tolist()):
        if status != Status.OK:
            raise PackError(
                f"{name}: item {lane} of the example ends {Status(status).label} at t = {solved.t[lane]:.4g} with "
                f"{int(solved.nfe[lane])} evaluations at tol {tol:g}"
            )
    yield f"{name}: the example is solved at tol {tol:g} with {solved.nfe.double().mean():.1f} evaluations an item"


def check_wide(program: Program, inputs: Tensor, args: Tensors) -> None:
    """The same in float64, against which errors are measured. Errors: PackError. Shapes: inputs, args [item, ...]."""
    inputs, args = inputs[:LANES].double(), tuple(arg[:LANES].double() for arg in args)
    t = torch.full((len(inputs),), program.interval[0], dtype=torch.float64)
    hint = "make constants of the tensors that are given (y.new_zeros, torch.ones_like), or register them as buffers"
    with torch.no_grad():
        y = _called(program.name, "encode in float64", program.encode, inputs, hint=hint)
        f = _called(program.name, "field in float64", program.field, t, y, args, hint=hint)
        _called(program.name, "decode in float64", program.decode, y, hint=hint)
    for part, tensor in (("encode", y), ("field", f)):
        if tensor.dtype != torch.float64:
            raise PackError(f"{program.name}: {part}: computes in {tensor.dtype} when asked for float64; {hint}")


def _check_adapted(name: str, wanted: OwnProgram, field: TorchdiffeqField, t: Tensor, y: Tensor) -> None:
    """Hold an adapted field against the func it was made of, lane by lane with a plain t."""
    states = y if wanted.state_shape is None else y.reshape(-1, *wanted.state_shape)
    together = field(t, states, ())
    for lane in range(len(t)):
        alone = _called(name, "field: func", field.func, t[lane], states[lane : lane + 1])
        if not _same(together[lane], alone[0]):
            raise PackError(
                f"{name}: field: func gives something else for times of one's own than for one t; write it for lanes: "
                "forward(t, y, args) with t [lane]"
            )


def _check_signature(name: str, field: nn.Module) -> None:
    """Whether a field takes (t, y, args)."""
    try:
        inspect.signature(field.forward).bind(None, None, None)
    except TypeError as error:
        words = "as torchdiffeq has it: wrap it in node_model.torchdiffeq_field.TorchdiffeqField"
        raise PackError(f"{name}: field: expected forward(t, y, args); {error}; if it takes (t, y), {words}") from None


def _called(name: str, part: str, module: nn.Module, *inputs: object, hint: str = "") -> Any:
    try:
        result = module(*inputs)
    except Exception as error:  # whatever a user's module may raise
        shapes = ", ".join(_shape(given) for given in inputs if isinstance(given, Tensor))
        more = f"; {hint}" if hint else ""
        raise PackError(
            f"{name}: {part}: called with {shapes} it raises {type(error).__name__}: {error}{more}"
        ) from error
    return result


def _check_tensor(name: str, part: str, value: object, count: int, widest: torch.dtype) -> None:
    known = {widest, torch.float32, torch.float64} if widest == torch.float64 else {widest}
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != count or value.dtype not in known:
        types = " or ".join(sorted(str(dtype).removeprefix("torch.") for dtype in known))
        raise PackError(f"{name}: {part}: expected {types} [{count}, ...] for {count} items, got {_shape(value)}")


def _same(one: Tensor, other: Tensor) -> bool:
    scale = one.abs().max().clamp(min=1e-6)
    return bool(((one - other).abs() <= SAME * scale).all())


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
