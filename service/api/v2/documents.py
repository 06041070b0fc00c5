"""OpenAPI text of routes whose handlers read path and body themselves."""

from typing import Any

from service.api.errors import Code, documented
from service.api.v2.asking import HEADER_LENGTH, IGNORED
from service.api.v2.schemas import PlainError

MODEL: dict[str, Any] = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "`name`, or `name:program` for a further program of the model",
    "schema": {"type": "string"},
    "example": "cnf-two-moons",
}
VERSION: dict[str, Any] = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "one of those that the model's metadata lists",
    "schema": {"type": "string"},
    "example": "1",
}
BINARY_TYPE = "application/octet-stream"


def _plain_examples(content: dict[str, Any]) -> dict[str, Any]:
    """Examples of errors with the message alone."""
    examples = content["application/json"]["examples"]
    plain = {
        code: {**example, "value": {"error": example["value"]["error"]["message"]}}
        for code, example in examples.items()
    }
    return {"application/json": {"examples": plain}}


def closed(**properties: dict[str, Any]) -> dict[str, Any]:
    """Schema of an object with these properties and no others, none of them required."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


_VALUES: dict[str, Any] = {
    "type": "object",
    "properties": {name: {} for name in IGNORED},
    "additionalProperties": {"anyOf": [{"type": kind} for kind in ("boolean", "integer", "number", "string")]},
}
_INPUT: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "description": "FP32, or another that numbers come in; none is scaled"},
        "parameters": closed(binary_data_size={"type": "integer", "minimum": 0}),
        "data": {"type": "array", "description": "nested as the shape says, or flat", "items": {}},
    },
}
_OUTPUT: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "parameters": closed(binary_data={"type": "boolean"}),
    },
}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "maxLength": 1000},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "parameters": _VALUES | {"description": "tol, rtol, atol, max_tol, method, max_nfe, deadline_ms, partial, ..."},
        "inputs": {"type": "array", "items": _INPUT, "maxItems": 16},
        "outputs": {"type": "array", "items": _OUTPUT, "maxItems": 64},
    },
}
_EXAMPLE: dict[str, Any] = {
    "id": "42",
    "parameters": {"tol": 0.001},
    "inputs": [{"name": "point", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.0]}],
    "outputs": [{"name": "log_density"}, {"name": "nfe"}],
}
INFER: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "description": "bytes of JSON, where the bytes of tensors follow it; 0: the body is the one input's bytes",
            "schema": {"type": "integer", "minimum": 0},
            "example": 142,
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST | {"examples": [_EXAMPLE]}},
            BINARY_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    },
}
"""Of the routes that solve."""


def documented_plainly(*codes: Code, binary: bool = False) -> dict[int | str, dict[str, Any]]:
    """`responses` as documented() has them, with the protocol's error body; `binary`: answers may have bytes."""
    responses = {
        status: {**response, "model": PlainError, "content": _plain_examples(response["content"])}
        for status, response in documented(*codes).items()
    }
    if binary:
        schema = {"type": "string", "format": "binary"}
        length = {"description": "bytes of JSON, where the bytes of tensors follow it", "schema": {"type": "integer"}}
        content = {BINARY_TYPE: {"schema": schema}}
        responses[200] = {"description": "solved", "content": content, "headers": {HEADER_LENGTH: length}}
    return responses


def optional_body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """A JSON body that need not be there."""
    schema = schema | {"examples": [example]}
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": schema}}}}
