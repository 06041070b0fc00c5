"""Calls of a user's modules, and what went wrong in them in a user's words."""

from typing import Any

from torch import Tensor, nn

from training.package import PackError, raised


def called(name: str, part: str, module: nn.Module, *inputs: object, hint: str = "") -> Any:
    """What a module gives. Errors: PackError saying with what it was called, what it raised, and where."""
    before = [given.clone() if isinstance(given, Tensor) else given for given in inputs]
    try:
        result = module(*inputs)
    except Exception as error:  # whatever a user's module may raise
        shapes = ", ".join(described(given) for given in inputs if isinstance(given, Tensor))
        more = f"; {hint}" if hint else ""
        raise PackError(f"{name}: {part}: called with {shapes} it raises {raised(error)}{more}") from error
    for given, kept in zip(inputs, before, strict=True):
        if isinstance(given, Tensor) and isinstance(kept, Tensor) and not given.nan_to_num().equal(kept.nan_to_num()):
            raise PackError(
                f"{name}: {part}: changes what it is given in place (add_, mul_, y[...] = ...); "
                "let it compute new tensors"
            )
    return result


def described(value: object) -> str:
    """Type and shape of a tensor; of anything else its type."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
