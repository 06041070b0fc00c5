"""Request bodies: bytes in, arrays out, or a 422 that names the place, what was expected and what was there."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError, create_model

from node_model.manifest import TensorSpec
from service.api.errors import ApiError, Code, invalid
from service.engine.draws import SEED_LIMIT
from service.engine.stepper import Array

_CONFIG = ConfigDict(extra="forbid", strict=True)


class TensorBody:
    """A body with one input (`{"image": ...}`) or several (`{"images": [...]}`) of a tensor spec.

    The spec is compiled into one validator, so that shape, range and finiteness are checked while the JSON is read.
    """

    def __init__(self, spec: TensorSpec, one: str, many: str, most_items: int) -> None:
        self._spec = spec
        self._one, self._many = one, many
        tensor: Any = _number(spec)
        for length in reversed(spec.shape):
            tensor = Annotated[list[tensor], Field(min_length=length, max_length=length), FailFast()]
        items = Annotated[list[tensor], Field(min_length=1, max_length=most_items), FailFast()]
        fields: dict[str, Any] = {one: (tensor, None), many: (items, None)}
        self._adapter = TypeAdapter(create_model("Body", __config__=_CONFIG, **fields))

    def read(self, body: bytes) -> Array:
        """Shapes: -> [item, *spec.shape]. Errors: ApiError 422, or 413 for too many items."""
        parsed = _validated(self._adapter, body, self._many)
        given = parsed.model_fields_set
        if len(given) != 1:
            got = "both" if given else "neither"
            raise invalid(self._one, f"expected either {self._one} or {self._many}, got {got}")
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
        self._adapter = TypeAdapter(create_model("Body", __config__=_CONFIG, **fields))

    def read(self, body: bytes) -> SampleRequest:
        """Errors: ApiError 422, or 413 for too many items."""
        parsed = _validated(self._adapter, body, "n")
        return SampleRequest(parsed.n, parsed.seed)


def _number(spec: TensorSpec) -> Any:
    # A number the dtype cannot hold would turn infinite in the cast.
    most = float(np.finfo(spec.dtype).max)
    low, high = spec.range or (-most, most)
    return Annotated[float, Field(ge=low, le=high, allow_inf_nan=False)]


def _validated(adapter: TypeAdapter[Any], body: bytes, counted: str) -> Any:
    """`counted` is the field whose excess is the server's limit (413), not the model's (422)."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=True)[0]
    kind, path = first["type"], _path(first["loc"])
    context = first.get("ctx", {})
    if kind == "json_invalid":
        raise invalid("body", f"malformed JSON: {context['error']}")
    if path == counted and kind in ("too_long", "less_than_equal"):
        most = context.get("max_length", context.get("le"))
        raise ApiError(Code.TOO_LARGE, f"{path}: more than {most} items in a request", {"field": path, "limit": most})
    if kind == "extra_forbidden":
        raise invalid(path, f"unknown field; known are {', '.join(adapter.json_schema()['properties'])}")
    if kind == "missing":
        raise invalid(path, "missing")
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else first["msg"]
    raise invalid(path or "body", f"expected {expected}, got {_got(kind, context, first['input'])}")


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "model_type": "an object",
    "greater_than_equal": "a number not below {ge:g}",
    "less_than_equal": "a number not above {le:g}",
    "less_than": "a number below {lt:g}",
    "too_short": "{min_length} entries",
    "too_long": "{max_length} entries",
}
_KINDS: dict[type, str] = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}


def _got(kind: str, context: dict[str, Any], value: Any) -> str:
    if kind in ("too_short", "too_long"):
        return str(context.get("actual_length") or "more")
    return _KINDS.get(type(value), f"{value!r:.80}")


def _path(location: tuple[int | str, ...]) -> str:
    """`('images', 3, 0)` as `images[3][0]`."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step[:80]}" if text else step[:80]
    return text
