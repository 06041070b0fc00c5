"""Request bodies: bytes in, arrays out, or a 422 that names the place, what was expected and what was there."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError, create_model

from node_model.manifest import TensorSpec
from service.api.errors import ApiError, Code, invalid
from service.engine.draws import SEED_LIMIT
from service.engine.stepper import Array

STRICT = ConfigDict(extra="forbid", strict=True)
MOST_QUOTES = 64
"""Bodies hold numbers; a few names are all that is quoted in them."""


class TensorBody:
    """A body with one input (`{"image": ...}`) or several (`{"images": [...]}`) of a tensor spec.

    The spec is compiled into one validator, so that shape, range and finiteness are checked while the JSON is read.
    """

    def __init__(self, spec: TensorSpec, one: str, many: str, most_items: int) -> None:
        self._spec = spec
        self._one, self._many = one, many
        self._most_items = most_items
        # One list around all items, one for each, and one for each row of an item.
        self._most_lists = 2 + most_items * sum(math.prod(spec.shape[:axis]) for axis in range(len(spec.shape)))
        fields: dict[str, Any] = {
            one: (tensor_type(spec), None),
            many: (list_type(tensor_type(spec), most_items), None),
        }
        self._adapter = TypeAdapter(create_model("Body", __config__=STRICT, **fields))

    def read(self, body: bytes) -> Array:
        """Shapes: -> [item, *spec.shape]. Errors: ApiError 422, or 413 for too many items."""
        refuse_many_names(body, (self._one, self._many))
        # Lists nested too deep are the parser's to refuse, and it does so early.
        if body.count(b"[") > self._most_lists and b"[" * (len(self._spec.shape) + 2) not in body:
            raise too_many(self._many, self._most_items)
        # Parsing holds everyone up: what has more numbers than fit is not begun.
        if body.count(b",") > 1 + self._most_items * math.prod(self._spec.shape):
            raise too_many(self._many, self._most_items)
        parsed = validated(self._adapter, body, self._many)
        given = parsed.model_fields_set
        refuse_other_than_one(given, self._one, self._many)
        if self._one in given:
            return np.array([getattr(parsed, self._one)], self._spec.dtype)
        return np.array(getattr(parsed, self._many), self._spec.dtype)


@dataclass(frozen=True)
class SampleRequest:
    """How many draws, and from which seed; None: choose one."""

    n: int
    seed: int | None


class SampleBody:
    """`{"n": 100, "seed": 7}`."""

    def __init__(self, most_items: int) -> None:
        fields: dict[str, Any] = {
            "n": (Annotated[int, Field(ge=1, le=most_items)], ...),
            "seed": (Annotated[int, Field(ge=0, lt=SEED_LIMIT)], None),
        }
        self._adapter = TypeAdapter(create_model("Body", __config__=STRICT, **fields))

    def read(self, body: bytes) -> SampleRequest:
        """Errors: ApiError 422, or 413 for too many items."""
        refuse_many_names(body, ("n", "seed"))
        parsed = validated(self._adapter, body, "n")
        return SampleRequest(parsed.n, parsed.seed)


def tensor_type(spec: TensorSpec) -> Any:
    """What pydantic reads one tensor of a spec with."""
    tensor: Any = _number(spec)
    for length in reversed(spec.shape):
        tensor = Annotated[list[tensor], Field(min_length=length, max_length=length), FailFast()]
    return tensor


def list_type(entry: Any, most: int) -> Any:
    """And a list of such."""
    return Annotated[list[entry], Field(min_length=1, max_length=most), FailFast()]


def _number(spec: TensorSpec) -> Any:
    # A number the dtype cannot hold would turn infinite in the cast.
    most = float(np.finfo(spec.dtype).max)
    low, high = spec.range or (-most, most)
    return Annotated[float, Field(ge=low, le=high, allow_inf_nan=False)]


def refuse_many_names(body: bytes, known: tuple[str, ...], most_quotes: int = MOST_QUOTES) -> None:
    """Before anything is parsed: a tree of a million names would cost a gigabyte before the first is found wrong."""
    if body.count(b'"') > most_quotes:
        raise invalid("body", f"more names than any request has; known are {', '.join(known)}")


def refuse_other_than_one(given: set[str], one: str, many: str) -> None:
    """A body has one input or several. Errors: ApiError 422 when it has both fields or neither."""
    if len(given) != 1:
        got = "both" if given else "neither"
        raise invalid(one, f"expected either {one} or {many}, got {got}")


def too_many(field: str, most: int) -> ApiError:
    """413: more items than the setting allows."""
    return ApiError(Code.TOO_LARGE, f"{field}: more than {most} items in a request", {"field": field, "limit": most})


def validated(adapter: TypeAdapter[Any], body: bytes, counted: str = "") -> Any:
    """A body that is as it must be. Errors: ApiError 422, 413.

    `counted` is the field whose excess is the server's limit (413), not the model's (422)."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=True)[0]
    kind, path = first["type"], _path(first["loc"])
    context = first.get("ctx", {})
    if kind == "json_invalid":
        raise invalid("body", f"malformed JSON: {context['error']}")
    if path == counted and kind in ("too_long", "less_than_equal"):
        raise too_many(path, int(context.get("max_length") or context["le"]))
    if kind == "extra_forbidden":
        raise invalid(path, f"unknown field; known are {_names_beside(adapter, first['loc'])}")
    if kind == "missing":
        raise invalid(path, "missing")
    if path == counted and kind == "too_short":
        raise invalid(path, "expected at least one entry, got an empty list")
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else first["msg"]
    raise invalid(path or "body", f"expected {expected}, got {_got(kind, context, first['input'])}")


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a string",
    "finite_number": "a finite number",
    "list_type": "a list",
    "model_type": "an object",
    "greater_than_equal": "a number not below {ge:g}",
    "less_than_equal": "a number not above {le:g}",
    "less_than": "a number below {lt:g}",
    "too_short": "{min_length} entries",
    "too_long": "{max_length} entries",
}
KINDS: dict[type, str] = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}


def _names_beside(adapter: TypeAdapter[Any], location: tuple[int | str, ...]) -> str:
    """The fields of an object that a wrong field stands in: of the body, or of the one kind of object in it."""
    schema = adapter.json_schema()
    inner = schema if len(location) == 1 else next(iter(schema["$defs"].values()))
    return ", ".join(inner["properties"])


def _got(kind: str, context: dict[str, Any], value: Any) -> str:
    if kind in ("too_short", "too_long"):
        length = context.get("actual_length")
        return "more" if length is None else str(length)
    return KINDS.get(type(value), f"{value!r:.80}")


def _path(location: tuple[int | str, ...]) -> str:
    """`('images', 3, 0)` as `images[3][0]`."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step[:80]}" if text else step[:80]
    return text
