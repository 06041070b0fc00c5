"""The shapes of a program, read off what its modules make of an example."""

import inspect

import torch
from torch import Tensor, nn

from node_model.own import OwnProgram, Shapes
from node_model.torchdiffeq_field import TorchdiffeqField
from training.pack_calls import called, described
from training.package import PackError

Tensors = tuple[Tensor, ...]


def shapes_of(wanted: OwnProgram, classes: int, inputs: Tensor, args: Tensors) -> Shapes:
    """Run the three modules on an example and see that what comes fits together, and to the route. Errors: PackError.

    Shapes: inputs, args [item, ...].
    """
    name, count = wanted.name, len(inputs)
    for arg, tensor in zip(wanted.args, args, strict=True):
        if tuple(tensor.shape[1:]) != tuple(arg.shape):
            raise PackError(f"{name}: {arg.name}: expected items of shape {list(arg.shape)}, got {described(tensor)}")
    t = torch.full((count,), wanted.interval[0], dtype=inputs.dtype)
    with torch.no_grad():
        y = called(name, "encode", wanted.encode, inputs)
        _check_tensor(name, "encode", y, count, (inputs.dtype,))
        _check_state(wanted, y)
        _check_signature(name, wanted.field)
        f = called(name, "field", wanted.field, t, y, args, hint=_adapted(wanted.field))
        if not isinstance(f, Tensor) or f.shape != y.shape or f.dtype != y.dtype:
            raise PackError(f"{name}: field: expected {described(y)} as the state, got {described(f)}")
        decoded = called(name, "decode", wanted.decode, y)
    if not isinstance(decoded, Tensor | tuple):
        raise PackError(f"{name}: decode: expected a tensor or a tuple of tensors, got {described(decoded)}")
    outputs: Tensors = decoded if isinstance(decoded, tuple) else (decoded,)
    if len(outputs) != len(wanted.outputs):
        raise PackError(f"{name}: decode: gives {len(outputs)} outputs; outputs names {', '.join(wanted.outputs)}")
    for output, label in zip(outputs, wanted.outputs, strict=True):
        _check_tensor(name, f"decode: {label}", output, count, (torch.float32, torch.float64))
    _check_answer(wanted, outputs, classes)
    sizes = sum(wanted.parts.values()) if wanted.parts else y[0].numel()
    if sizes != y[0].numel():
        raise PackError(f"{name}: parts: expected sizes that sum to {y[0].numel()}, those of the state; got {sizes}")
    wide = tuple(output.dtype == torch.float64 and y.dtype == torch.float32 for output in outputs)
    return Shapes(tuple(inputs.shape[1:]), y[0].numel(), tuple(tuple(o.shape[1:]) for o in outputs), wide)


def _adapted(field: nn.Module) -> str:
    """What there is to know of a field that was written for one t."""
    if not isinstance(field, TorchdiffeqField):
        return ""
    return (
        "func was given t with axes of length one, which broadcasts against y; where it does more with t than to "
        "calculate, write it for lanes: forward(t, y, args) with t [item]"
    )


def _check_state(wanted: OwnProgram, y: Tensor) -> None:
    if wanted.state_shape is None and y.dim() != 2:
        shape = tuple(y.shape[1:])
        raise PackError(
            f"{wanted.name}: encode: expected a state [item, dim], got {described(y)}; "
            + (f"for a state of another shape give state_shape={shape}" if shape else "y[:, None] makes one of numbers")
        )
    if wanted.state_shape is not None and tuple(y.shape[1:]) != tuple(wanted.state_shape):
        expected = ["item", *wanted.state_shape]
        raise PackError(
            f"{wanted.name}: encode: expected a state [{', '.join(map(str, expected))}], got {described(y)}"
        )
    if y[0].numel() == 0:
        raise PackError(f"{wanted.name}: encode: gives a state without numbers, {described(y)}")


def _check_answer(wanted: OwnProgram, outputs: Tensors, classes: int) -> None:
    """Whether the first output is what the program's route answers with."""
    shape = tuple(outputs[0].shape[1:])
    told = f"{wanted.name}: decode: expected"
    if wanted.name != "predict" and len(outputs) > 1:
        raise PackError(f"{told} one output, got {', '.join(wanted.outputs)}")
    if wanted.name == "classify" and shape != (classes,):
        raise PackError(f"{told} logits [item, {classes}], one for each of labels; got {described(outputs[0])}")
    if wanted.name.startswith("log_density") and shape != ():
        raise PackError(f"{told} a log-density for each item, [item]; got {described(outputs[0])}")
    if wanted.name == "sample" and len(shape) != 1:
        raise PackError(f"{told} points [item, dim]; got {described(outputs[0])}")


def _check_tensor(name: str, part: str, value: object, count: int, known: tuple[torch.dtype, ...]) -> None:
    if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != count or value.dtype not in known:
        types = " or ".join(str(dtype).removeprefix("torch.") for dtype in known)
        raise PackError(f"{name}: {part}: expected {types} [{count}, ...] for {count} items, got {described(value)}")


def _check_signature(name: str, field: nn.Module) -> None:
    """Whether a field takes (t, y, args)."""
    try:
        inspect.signature(field.forward).bind(None, None, None)
    except TypeError as error:
        words = "as torchdiffeq has it: wrap it in node_model.torchdiffeq_field.TorchdiffeqField"
        raise PackError(f"{name}: field: expected forward(t, y, args); {error}; if it takes (t, y), {words}") from None
