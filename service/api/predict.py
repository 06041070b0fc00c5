"""/predict: a user's own program, its inputs and arguments, and the times at which an answer is wanted."""

import asyncio
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from pydantic import FailFast, Field, TypeAdapter, create_model
from pydantic_core import from_json

from node_model.manifest import ProgramSpec, TensorSpec
from service.api.answers import Solved
from service.api.asked import Asked
from service.api.bodies import STRICT, list_type, refuse_many_names, tensor_type, too_many, validated
from service.api.errors import ApiError, Code, invalid
from service.api.media import JSON
from service.api.npy import first_output, output_at_stops
from service.api.npy_body import read_npy
from service.api.solving import Job
from service.engine.draws import SEED_LIMIT, draw_items
from service.engine.stepper import Array

MOST_STOPS = 1000

_ONE = re.compile(rb'"input"\s*:')
_MANY = re.compile(rb'"inputs"\s*:')


@dataclass(frozen=True)
class PredictRequest:
    """Inputs with their arguments in the order of the manifest; None for those that the server draws.

    Shapes: inputs, args [item, ...]; stops [stop], None for the end of the interval.
    """

    inputs: Array
    args: tuple[Array | None, ...]
    stops: Array | None
    seed: int | None


class PredictBody:
    """`{"input": ..., "args": {...}, "t": [...]}` or `{"inputs": [...], "args": {name: [...]}, "t": [...]}`.

    `args` is there when the program has arguments that the caller gives, `seed` when it has some that are drawn.
    """

    def __init__(
        self, spec: TensorSpec, args: tuple[TensorSpec, ...], interval: tuple[float, float], most_items: int
    ) -> None:
        self._input, self._args = spec, args
        self._interval = interval
        self._most_items = most_items
        self._given = [arg for arg in args if arg.draw is None]
        tensors = [spec, *self._given]
        lists = sum(math.prod(tensor.shape[:axis]) for tensor in tensors for axis in range(len(tensor.shape)))
        self._most_lists = 2 + len(tensors) + most_items * lists
        self._most_numbers = 3 + MOST_STOPS + most_items * sum(1 + math.prod(tensor.shape) for tensor in tensors)
        self._deepest = 2 + max(len(tensor.shape) for tensor in tensors)
        self._adapters = {many: self._adapter(many) for many in (False, True)}

    def _adapter(self, many: bool) -> TypeAdapter[Any]:
        def entry(spec: TensorSpec) -> Any:
            return list_type(tensor_type(spec), self._most_items) if many else tensor_type(spec)

        time = Annotated[float, Field(allow_inf_nan=False)]
        times = Annotated[list[time], FailFast()]
        fields: dict[str, Any] = {"inputs" if many else "input": (entry(self._input), ...), "t": (times, None)}
        if self._given:
            # By aliases, because pydantic would not take every name of a tensor for one of its own.
            args: dict[str, Any] = {
                f"arg_{number}": (entry(arg), Field(alias=arg.name)) for number, arg in enumerate(self._given)
            }
            fields["args"] = (create_model("Args", __config__=STRICT, **args), ...)
        if len(self._given) < len(self._args):
            fields["seed"] = (Annotated[int, Field(ge=0, lt=SEED_LIMIT)], None)
        return TypeAdapter(create_model("Body", __config__=STRICT, **fields))

    def read(self, body: bytes) -> PredictRequest:
        """Errors: ApiError 422, or 413 for too many items."""
        refuse_many_names(body, ("input", "inputs", "args", "t"))
        if body.count(b"[") > self._most_lists and b"[" * self._deepest not in body:
            raise too_many("inputs", self._most_items)
        if body.count(b",") > self._most_numbers:
            raise too_many("inputs", self._most_items)
        one, many = bool(_ONE.search(body)), bool(_MANY.search(body))
        if one == many:
            # An argument may have such a name, and a name may be written with escapes.
            names = _top_names(body)
            one, many = "input" in names, "inputs" in names
        if one and many:
            raise invalid("input", "expected either input or inputs, got both")
        field = "inputs" if many else "input"
        parsed = validated(self._adapters[many], body, "inputs")
        inputs = self._array(self._input, getattr(parsed, field), many)
        given = iter([self._array(arg, getattr(parsed.args, f"arg_{k}"), many) for k, arg in enumerate(self._given)])
        args = tuple(next(given) if arg.draw is None else None for arg in self._args)
        for arg, array in zip(self._args, args, strict=True):
            if array is not None and len(array) != len(inputs):
                expected = f"expected as many entries as inputs has ({len(inputs)}), got {len(array)}"
                raise invalid(f"args.{arg.name}", expected)
        return PredictRequest(inputs, args, self._stops(parsed.t, len(inputs)), getattr(parsed, "seed", None))

    def read_array(self, body: bytes) -> PredictRequest:
        """Inputs in NumPy's own file format, which has no room for anything else. Errors: ApiError 422, 413."""
        if self._given:
            names = ", ".join(arg.name for arg in self._given)
            raise invalid("args", f"expected {names}, and an array has inputs alone: send {JSON}")
        inputs = read_npy(body, self._input, "input", "inputs", self._most_items)
        return PredictRequest(inputs, (None,) * len(self._args), None, None)

    def _array(self, spec: TensorSpec, value: Any, many: bool) -> Array:
        return np.array(value if many else [value], spec.dtype)

    def _stops(self, times: list[float] | None, items: int) -> Array | None:
        """Errors: ApiError for times that are not in order or not in the interval."""
        if times is None:
            return None
        if not 1 <= len(times) <= MOST_STOPS:
            raise invalid("t", f"expected 1 to {MOST_STOPS} times, got {len(times)}")
        start, end = self._interval
        least, most = min(start, end), max(start, end)
        for index, time in enumerate(times):
            if not least <= time <= most:
                raise invalid(f"t[{index}]", f"expected a time from {least:g} to {most:g}, got {time:g}")
        falls = end < start
        for index, (before, after) in enumerate(pairwise(times), 1):
            if (after >= before) if falls else (after <= before):
                order = "descending" if falls else "ascending"
                raise invalid(f"t[{index}]", f"expected strictly {order} times, got {after:g} after {before:g}")
        if items * len(times) > self._most_items:
            message = f"t: {items} items at {len(times)} times are more than {self._most_items} answers in a request"
            raise ApiError(Code.TOO_LARGE, message, {"field": "t", "limit": self._most_items})
        return np.array(times)


def _top_names(body: bytes) -> set[str]:
    """Fields of a body; none of what is no JSON object, which is told by whoever reads it."""
    try:
        parsed = from_json(body)
    except ValueError:
        return set()
    return set(parsed) if isinstance(parsed, dict) else set()


# Compiling a validator takes a millisecond, so each is made once.
_body: Callable[..., PredictBody] = lru_cache(maxsize=256)(PredictBody)


def predict_body(spec: ProgramSpec, most_items: int) -> PredictBody:
    """What reads the bodies for a program."""
    return _body(spec.input, spec.args, spec.interval, most_items)


async def asked_prediction(job: Job, wanted: PredictRequest) -> Asked:
    """What a body asks to have solved. Arguments that the server draws depend on the seed and the item alone."""
    spec, extra = job.plan.program.spec, {} if wanted.stops is None else {"t": wanted.stops.tolist()}
    args = wanted.args
    if any(arg is None for arg in args):
        seed = extra["seed"] = secrets.randbelow(SEED_LIMIT) if wanted.seed is None else wanted.seed
        items = len(wanted.inputs)
        args = await asyncio.to_thread(
            lambda: tuple(
                draw_items(arg, seed, items) if given is None else given
                for arg, given in zip(spec.args, args, strict=True)
            )
        )
    names = tuple(output.name for output in spec.outputs)
    array = first_output if wanted.stops is None else output_at_stops
    return Asked(
        wanted.inputs,
        lambda solved: predictions(solved, names, stops=wanted.stops is not None),
        args=tuple(arg for arg in args if arg is not None),
        array=array if len(names) == 1 else None,
        extra=extra,
        stops=wanted.stops,
    )


def predictions(solved: Solved, names: tuple[str, ...], stops: bool) -> list[dict[str, Any]]:
    """`predictions` of /predict: a program's only output, or its outputs by name; with stops a list of such."""
    told = [_at_stops(solved, names, row) if stops else _whole(solved, names, row) for row in range(len(solved))]
    return [{"output": output, **item} for output, item in zip(told, solved.items(), strict=True)]


def _whole(solved: Solved, names: tuple[str, ...], row: int) -> Any:
    return named(names, tuple(output[row] for output in solved.outputs)) if solved.ok[row] else None


def _at_stops(solved: Solved, names: tuple[str, ...], row: int) -> Any:
    """None at stops that the item did not come to."""
    first = solved.outputs[0][row]
    reached = np.isfinite(first.reshape(len(first), -1)).all(1)
    if len(names) == 1 and reached.all():
        return first
    return [
        named(names, tuple(output[row][stop] for output in solved.outputs)) if there else None
        for stop, there in enumerate(reached.tolist())
    ]


def named(names: tuple[str, ...], outputs: tuple[Any, ...]) -> Any:
    """The only output itself, several by their names."""
    return outputs[0] if len(names) == 1 else dict(zip(names, outputs, strict=True))
