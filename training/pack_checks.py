"""What is asked of a program before it is exported, each failure with the part's name and what would put it right."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from node_model.own import OwnProgram
from node_model.program import Program
from node_model.solvers import solve_ivp
from node_model.status import Status
from node_model.torchdiffeq_field import TorchdiffeqField
from training.pack_calls import called
from training.pack_shapes import Tensors
from training.package import PackError

LANES = 8
"""How many items of the example are tried: enough to tell lanes apart."""
SAME = {torch.float32: 1e-2, torch.float64: 1e-9}
"""Relative to the largest number of a lane: more than rounding in another batch does. In float32 sums that cancel leave
much of it; what is finer than that shows in float64, in which a model is checked as well."""
MAX_NFE = 10_000
"""What a server lets a request take unless its operator says otherwise."""
WHY = {
    Status.MAX_NFE: "the field is too fast for the interval, or stiff; explicit methods are all there are",
    Status.DT_MIN: "the state runs away, or the field jumps, at this time",
    Status.NON_FINITE: "the state or the field is not finite at this time",
}
Run = Callable[[slice], Tensors]


def check_program(program: Program, wanted: OwnProgram, inputs: Tensor, args: Tensors, tol: float) -> Iterator[str]:
    """A line for each thing that holds on the example. Errors: PackError for the first that does not.

    Shapes: inputs, args [item, ...].
    """
    name, count = program.name, len(inputs)
    start, end = program.interval
    if all(torch.equal(tensor[:1].expand_as(tensor), tensor) for tensor in (inputs, *args)):
        raise PackError(
            f"{name}: expected an example of two items or more that differ, so that it shows whether one looks at "
            f"another; its first {count} are the same"
        )

    def encode(rows: slice) -> Tensors:
        return (called(name, "encode", program.encode, inputs[rows]),)

    def field(t: Tensor, y: Tensor) -> Run:
        return lambda rows: (called(name, "field", program.field, t[rows], y[rows], tuple(arg[rows] for arg in args)),)

    def decode(y: Tensor) -> Run:
        return lambda rows: called(name, "decode", program.decode, y[rows])

    # The lanes of a server are at times of their own.
    stops = torch.linspace(start, end, count + 1, dtype=torch.float64)[1:]
    with torch.no_grad():
        _check_part(name, "encode", encode, count)
        (y,) = encode(slice(None))
        at_start = field(torch.full((count,), start, dtype=y.dtype), y)
        _check_part(name, "field", at_start, count)
        if isinstance(wanted.field, TorchdiffeqField):
            _check_adapted(wanted, wanted.field, stops.to(y.dtype), y)
            yield f"{name}: the torchdiffeq field gives for times of one's own what it gives called with one t"
        solved = solve_ivp(
            program.field,
            y,
            start,
            stops,
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
                    f"{int(solved.nfe[lane])} evaluations at tol {tol:g}: {WHY[Status(status)]}"
                )
        spread = torch.stack([solved.ys[lane, lane] for lane in range(count)])
        _check_part(name, "field", field(stops.to(y.dtype), spread), count)
        _check_part(name, "decode", decode(solved.ys[-1]), count)
        _check_part(name, "decode", decode(spread), count)
        for part, run in (("field", at_start), ("decode", decode(spread))):
            _check_nothing_kept(name, part, run, encode, count)
    yield f"{name}: encode, field and decode are finite, repeatable, and each item is on its own"
    yield f"{name}: the example is solved at tol {tol:g} with {solved.nfe.double().mean():.1f} evaluations an item"


def check_wide(program: Program, inputs: Tensor, args: Tensors) -> None:
    """The same in float64, against which errors are measured. Errors: PackError. Shapes: inputs, args [item, ...]."""
    inputs, args = inputs.double(), tuple(arg.double() for arg in args)
    t = torch.full((len(inputs),), program.interval[0], dtype=torch.float64)
    hint = "make constants of the tensors that are given (y.new_zeros, torch.ones_like), or register them as buffers"
    with torch.no_grad():
        y = called(program.name, "encode in float64", program.encode, inputs, hint=hint)
        f = called(program.name, "field in float64", program.field, t, y, args, hint=hint)
        called(program.name, "decode in float64", program.decode, y, hint=hint)
    for part, tensor in (("encode", y), ("field", f)):
        if tensor.dtype != torch.float64:
            raise PackError(f"{program.name}: {part}: computes in {tensor.dtype} when asked for float64; {hint}")


def _check_part(name: str, part: str, run: Run, count: int) -> None:
    """Whether a part is finite, says the same when asked again, and to each item what it says to that item alone."""
    whole = run(slice(None))
    again = run(slice(None))
    for output, repeated in zip(whole, again, strict=True):
        finite = output.reshape(count, -1).isfinite().all(1)
        if not finite.all():
            lane = int((~finite).nonzero()[0])
            raise PackError(f"{name}: {part}: gives a number that is not finite for item {lane} of the example")
        if not torch.equal(output, repeated):
            raise PackError(
                f"{name}: {part}: gives something else when asked again; random operations (rand, dropout in training "
                "mode) and counters have no place in it; draws come in as arguments (OwnArg, draw=...)"
            )
    for lane in range(count):
        try:
            alone = run(slice(lane, lane + 1))
        except PackError as error:
            raise PackError(
                f"{error}; with {count} items it did not: it must do for one what it does for several (no batch norm "
                "by the batch's statistics, no squeeze)"
            ) from error
        for output, own in zip(whole, alone, strict=True):
            if own.shape != output[:1].shape or not _same(output[lane], own[0]):
                raise PackError(
                    f"{name}: {part}: item {lane} comes out otherwise alone than among others; no item may look at "
                    "another (batch norm by the batch's statistics, sums or means over the first axis, squeeze)"
                )


def _check_nothing_kept(name: str, part: str, run: Run, encode: Run, count: int) -> None:
    """Whether a part says the same after other inputs were encoded: graphs do not hand anything on but the state."""
    encode(slice(None))
    whole = run(slice(None))
    for lane in range(count):
        encode(slice(lane, lane + 1))
        for output, again in zip(whole, run(slice(None)), strict=True):
            if not torch.equal(output, again):
                raise PackError(
                    f"{name}: {part}: gives something else after encode had other inputs; nothing may be kept in a "
                    "module on the way: what is needed of an input later belongs into the state"
                )


def _check_adapted(wanted: OwnProgram, field: TorchdiffeqField, t: Tensor, y: Tensor) -> None:
    """Hold an adapted field against the func it was made of, lane by lane with a plain t."""
    name, states = wanted.name, y if wanted.state_shape is None else y.reshape(-1, *wanted.state_shape)
    together = called(name, "field", field, t, states, ())
    for lane in range(len(t)):
        alone = called(name, "field: func", field.func, t[lane], states[lane : lane + 1])
        if not _same(together[lane], alone[0]):
            raise PackError(
                f"{name}: field: func gives something else for times of one's own than for one t; write it for lanes: "
                "forward(t, y, args) with t [lane]"
            )


def _same(one: Tensor, other: Tensor) -> bool:
    scale = one.abs().max().clamp(min=1e-6)
    return bool(((one - other).abs() <= SAME.get(one.dtype, 0.0) * scale).all())
