"""An inference request read: JSON, or JSON and the bytes of tensors behind it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from service.api.bodies import KINDS, validated
from service.api.errors import ApiError, Code, invalid
from service.api.v2.schemas import AskedInput, AskedOutput, InferRequest, Value
from service.api.v2.signature import SEED, N, Signature, Tensor
from service.api.v2.tensors import INTEGERS, NUMBERS, array_of_bytes, array_of_list, checked_rows
from service.engine.draws import SEED_LIMIT
from service.engine.stepper import Array

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
MOST_DIGITS = 20
"""Of a length in a header."""
IGNORED = ("priority", "headers", "sequence_id", "sequence_start", "sequence_end")
"""Parameters that the protocol's clients may send and that mean nothing here, whatever they are."""
MOST_QUOTES = 2000
"""Requests hold numbers; so many names are far more than any needs."""
SPARE_LISTS = 100
"""Lists of a request that are no tensor's."""

_adapter = TypeAdapter(InferRequest)


@dataclass(frozen=True)
class Wanted:
    """An output to be sent, as JSON or as bytes."""

    tensor: Tensor
    binary: bool


@dataclass(frozen=True)
class Ask:
    """What a request asks for. `n`: of a program that draws its input itself; else there are rows.

    Shapes: rows each [item, ...], in the order of the signature's inputs.
    """

    id: str | None
    parameters: Mapping[str, Value]
    outputs: list[Wanted]
    rows: tuple[Array, ...] = ()
    n: int = 0
    seed: int | None = None


def read_ask(body: bytes, header_length: str | None, signature: Signature, most_items: int) -> Ask:
    """Errors: ApiError 422 naming the place, what was expected and what was there; 413 for too many items."""
    header, blobs = _split(body, header_length)
    if header_length is not None and not header:
        return _raw(blobs, signature, most_items)
    _refuse_trees(header, signature, most_items)
    asked: InferRequest = validated(_adapter, header)
    arrays = _arrays(asked.inputs, blobs, signature, binary=header_length is not None)
    check_values(asked.parameters)
    everything = asked.parameters.get(ALL_BINARY, False)
    if not isinstance(everything, bool):
        raise invalid(f"parameters.{ALL_BINARY}", "expected a boolean")
    parameters = {name: value for name, value in asked.parameters.items() if name != ALL_BINARY}
    outputs = _outputs(asked.outputs, signature, everything)
    if signature.drawn:
        return Ask(asked.id, parameters, outputs, n=_n(arrays[N], most_items), seed=_seed(arrays.get(SEED)))
    return Ask(asked.id, parameters, outputs, rows=_rows(arrays, asked.inputs, signature, most_items))


def check_values(parameters: Mapping[str, Any]) -> None:
    """Errors: ApiError 422 for a parameter that is no plain value."""
    for name, value in parameters.items():
        if name not in IGNORED and not isinstance(value, bool | int | float | str):
            got = KINDS.get(type(value), "something else")
            raise invalid(f"parameters.{name[:80]}", f"expected a number, a string or a boolean, got {got}")


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    number = header_length.isascii() and header_length.isdecimal() and len(header_length) <= MOST_DIGITS
    length = int(header_length) if number else len(body) + 1
    if length > len(body):
        got = f"{header_length[:80]!r}"
        raise invalid(HEADER_LENGTH, f"expected the length of the JSON, within a body of {len(body)} bytes; got {got}")
    return body[:length], body[length:]


def _raw(content: bytes, signature: Signature, most_items: int) -> Ask:
    """A body that is one item's bytes and nothing else. Every output is sent as bytes."""
    if signature.drawn or len(signature.inputs) != 1:
        names = ", ".join(tensor.name for tensor in signature.inputs)
        raise invalid(HEADER_LENGTH, f"0 is for models with one input; this one has {names}")
    (tensor,) = signature.inputs
    rows = array_of_bytes(tensor.name, tensor.datatype, [1, *tensor.shape], content)
    checked = checked_rows(signature.spec.input, tensor.datatype, rows, most_items)
    return Ask(None, {}, [Wanted(output, True) for output in signature.outputs], rows=(checked,))


def _refuse_trees(header: bytes, signature: Signature, most_items: int) -> None:
    """Before anything is parsed: a tree of a million names or lists would cost a gigabyte."""
    if header.count(b'"') > MOST_QUOTES:
        raise invalid("body", "more names than any request has")
    per_item = sum(1 + sum(_lists(tensor.shape)) for tensor in signature.inputs)
    numbers = sum(math.prod(tensor.shape) for tensor in signature.inputs)
    if header.count(b"[") > SPARE_LISTS + most_items * per_item or header.count(b",") > MOST_QUOTES + most_items * (
        per_item + numbers
    ):
        raise ApiError(Code.TOO_LARGE, f"more than {most_items} items in a request", {"limit": most_items})


def _lists(shape: tuple[int, ...]) -> Iterable[int]:
    """How many lists an item of a shape is written with, dimension by dimension."""
    lists = 1
    for length in shape[:-1]:
        lists *= length
        yield lists


def _arrays(inputs: list[AskedInput], blobs: bytes, signature: Signature, *, binary: bool) -> dict[str, Array]:
    known = {tensor.name: tensor for tensor in signature.inputs}
    arrays: dict[str, Array] = {}
    for place, given in enumerate(inputs):
        where = f"inputs[{place}]"
        if given.name not in known:
            raise invalid(f"{where}.name", f"no input {given.name[:80]!r}; expected {', '.join(known)}")
        if given.name in arrays:
            raise invalid(f"{where}.name", f"{given.name} is given more than once")
        taken = INTEGERS if signature.drawn else NUMBERS
        if given.datatype not in taken:
            raise invalid(f"{where}.datatype", f"expected {known[given.name].datatype}, got {given.datatype[:80]!r}")
        size = _binary_size(given, where)
        if size is None:
            if "data" not in given.model_fields_set:
                raise invalid(f"{where}.data", f"missing; expected it, or {BINARY_SIZE} in the input's parameters")
            arrays[given.name] = array_of_list(given.name, given.datatype, given.shape, given.data)
            continue
        if not binary:
            raise invalid(HEADER_LENGTH, f"missing; {where} has {BINARY_SIZE}")
        if "data" in given.model_fields_set:
            raise invalid(f"{where}.data", f"not with {BINARY_SIZE}")
        if size > len(blobs):
            raise invalid(
                f"{where}.parameters.{BINARY_SIZE}", f"expected at most {len(blobs)}, what is left of the body"
            )
        arrays[given.name] = array_of_bytes(given.name, given.datatype, given.shape, blobs[:size])
        blobs = blobs[size:]
    if blobs:
        raise invalid("body", f"{len(blobs)} bytes at its end belong to no input")
    for name, tensor in known.items():
        if name not in arrays and not tensor.optional:
            raise invalid("inputs", f"{name} is missing; expected {', '.join(known)}")
    return arrays


def _binary_size(given: AskedInput, where: str) -> int | None:
    for name in given.parameters:
        if name != BINARY_SIZE:
            raise invalid(f"{where}.parameters.{name[:80]}", f"unknown parameter; known is {BINARY_SIZE}")
    size = given.parameters.get(BINARY_SIZE)
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise invalid(f"{where}.parameters.{BINARY_SIZE}", f"expected a number of bytes, got {size!r:.80}")
    return size


def _outputs(asked: list[AskedOutput], signature: Signature, everything: bool) -> list[Wanted]:
    known = {tensor.name: tensor for tensor in signature.outputs}
    if not asked:
        return [Wanted(tensor, everything) for tensor in known.values()]
    wanted: dict[str, Wanted] = {}
    for place, output in enumerate(asked):
        where = f"outputs[{place}]"
        if output.name not in known:
            raise invalid(f"{where}.name", f"no output {output.name[:80]!r}; there are {', '.join(known)}")
        if output.name in wanted:
            raise invalid(f"{where}.name", f"{output.name} is asked for more than once")
        for name in output.parameters:
            if name != BINARY:
                raise invalid(f"{where}.parameters.{name[:80]}", f"unknown parameter; known is {BINARY}")
        binary = output.parameters.get(BINARY, everything)
        if not isinstance(binary, bool):
            raise invalid(f"{where}.parameters.{BINARY}", f"expected a boolean, got {binary!r:.80}")
        wanted[output.name] = Wanted(known[output.name], binary)
    return list(wanted.values())


def _rows(
    arrays: dict[str, Array], inputs: list[AskedInput], signature: Signature, most_items: int
) -> tuple[Array, ...]:
    """Shapes: -> each [item, ...], of as many items."""
    datatypes = {given.name: given.datatype for given in inputs}
    specs = [spec for spec in (signature.spec.input, *signature.spec.args) if spec.draw is None]
    rows = tuple(checked_rows(spec, datatypes[spec.name], arrays[spec.name], most_items) for spec in specs)
    for spec, array in zip(specs, rows, strict=True):
        if len(array) != len(rows[0]):
            raise invalid(spec.name, f"expected {len(rows[0])} items as {specs[0].name} has, got {len(array)}")
    return rows


def _n(given: Array, most_items: int) -> int:
    n = _one(N, given)
    if n < 1:
        raise invalid(N, f"expected a number not below 1, got {n}")
    if n > most_items:
        message = f"{N}: more than {most_items} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"field": N, "limit": most_items})
    return n


def _seed(given: Array | None) -> int | None:
    if given is None:
        return None
    seed = _one(SEED, given)
    if not 0 <= seed < SEED_LIMIT:
        raise invalid(SEED, f"expected a number from 0 to {SEED_LIMIT - 1}, got {seed}")
    return seed


def _one(name: str, given: Array) -> int:
    if given.shape != (1,):
        raise invalid(name, f"expected shape [1], got {list(given.shape)}")
    return int(given[0])
