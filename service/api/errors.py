"""What a request ends with when it goes wrong, and how the OpenAPI text says so."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from service.api.codes import TABLE, Code
from service.api.examples import error_example
from service.api.responses import json_response
from service.api.schemas import ErrorAnswer

__all__ = ["TABLE", "ApiError", "Code", "body_too_large", "documented", "error_response", "invalid"]


class ApiError(Exception):
    """A request that ends with an error answer."""

    def __init__(
        self,
        code: Code,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


def invalid(field: str, message: str, **details: Any) -> ApiError:
    """A parameter or body field that is wrong: 422 naming it."""
    return ApiError(Code.INVALID_INPUT, f"{field}: {message}", {"field": field, **details})


def body_too_large(most_bytes: int, what: str = "the body") -> ApiError:
    """413: more than the setting allows. Units: bytes."""
    return ApiError(Code.TOO_LARGE, f"{what} is above {most_bytes / 2**20:g} MiB", {"limit_bytes": most_bytes})


def error_response(error: ApiError) -> Response:
    """The error body that every route gives."""
    body = {"error": {"code": error.code.value, "message": error.message, "details": error.details}}
    return json_response(body, TABLE[error.code][0], error.headers)


def documented(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route for OpenAPI: one entry per status, from the table."""
    texts: dict[int | str, list[str]] = {}
    examples: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = TABLE[code]
        texts.setdefault(status, []).append(f"`{code.value}`: {meaning}")
        examples.setdefault(status, {})[code.value] = {"summary": meaning, "value": error_example(code)}
    return {
        status: {
            "description": "; ".join(lines),
            "model": ErrorAnswer,
            "content": {"application/json": {"examples": examples[status]}},
        }
        for status, lines in texts.items()
    }
