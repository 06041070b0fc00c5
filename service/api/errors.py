"""The table of what can go wrong: kind -> HTTP status. Handlers and the OpenAPI text both read it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.examples import error_example
from service.api.prefix import inner_path
from service.api.responses import json_bytes, json_response
from service.api.schemas import ErrorAnswer


class Code(StrEnum):
    """`error.code` of an answer: a closed set."""

    INVALID_INPUT = "invalid_input"
    SOLVER_FAILED = "solver_failed"
    TOO_LARGE = "too_large"
    UNKNOWN_MODEL = "unknown_model"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHORIZED = "unauthorized"
    BODY_TIMEOUT = "body_timeout"
    QUEUE_FULL = "queue_full"
    NOT_READY = "not_ready"
    DEADLINE = "deadline"
    INTERNAL = "internal"


TABLE: dict[Code, tuple[int, str]] = {
    Code.INVALID_INPUT: (
        422,
        "a malformed body, a wrong shape or number, a damaged picture, an unknown parameter: which, what was expected",
    ),
    Code.SOLVER_FAILED: (422, "an item was not solved: its status, how far it came, what to change"),
    Code.TOO_LARGE: (413, "the body, the number of items or a picture is above the limit"),
    Code.UNKNOWN_MODEL: (404, "no model of that name or version; the known ones are named"),
    Code.NOT_FOUND: (404, "no such path"),
    Code.METHOD_NOT_ALLOWED: (405, "the path does not take this method; Allow names those it takes"),
    Code.UNSUPPORTED_MEDIA_TYPE: (415, "the body is of a type that is not read here; those that are, are named"),
    Code.UNAUTHORIZED: (401, "the server has API keys, and none of them was sent"),
    Code.BODY_TIMEOUT: (408, "the body did not arrive in time"),
    Code.QUEUE_FULL: (429, "more work is waiting than may; Retry-After says when there is room again"),
    Code.NOT_READY: (503, "the server is starting or stopping; Retry-After says when to ask again"),
    Code.DEADLINE: (504, "not solved in time: what was spent"),
    Code.INTERNAL: (500, "a fault of the server, logged under the request id"),
}
"""Each code's HTTP status and meaning."""


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


def error_content(error: ApiError) -> dict[str, Any]:
    """The error body that every route gives."""
    return {"error": {"code": error.code.value, "message": error.message, "details": error.details}}


class ErrorResponse(Response):
    """The body that every error has; under /v2 that of the Open Inference Protocol, which is the message alone.

    Which one is seen when it is sent, so that whoever makes it need not know where the request went.
    """

    def __init__(self, error: ApiError) -> None:
        self._error = error
        super().__init__(
            json_bytes(error_content(error)), TABLE[error.code][0], error.headers, media_type="application/json"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if under_v2(scope):
            plain = json_response({"error": self._error.message}, self.status_code, self._error.headers)
            await plain(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def under_v2(scope: Scope) -> bool:
    """Whether a request goes to the Open Inference Protocol."""
    path = inner_path(scope)
    return path == "/v2" or path.startswith("/v2/")


def error_response(error: ApiError) -> Response:
    """The answer to a request that went wrong."""
    return ErrorResponse(error)


def documented(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route for OpenAPI: one entry per status, from the table."""
    texts: dict[int | str, list[str]] = {}
    examples: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = TABLE[code]
        texts.setdefault(status, []).append(f"`{code.value}`: {meaning}")
        examples.setdefault(status, {})[code.value] = {"summary": meaning, "value": error_example(code.value, meaning)}
    return {
        status: {
            "description": "; ".join(lines),
            "model": ErrorAnswer,
            "content": {"application/json": {"examples": examples[status]}},
        }
        for status, lines in texts.items()
    }
