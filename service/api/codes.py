"""The table of what can go wrong: kind -> HTTP status. Handlers and the OpenAPI text both read it."""

from enum import StrEnum


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
        "malformed JSON, a wrong shape or number, an unknown parameter: which, what was expected",
    ),
    Code.SOLVER_FAILED: (422, "an item was not solved: its status, how far it came, what to change"),
    Code.TOO_LARGE: (413, "the body or the number of items is above the limit"),
    Code.UNKNOWN_MODEL: (404, "no model of that name or version; the known ones are named"),
    Code.NOT_FOUND: (404, "no such path"),
    Code.METHOD_NOT_ALLOWED: (405, "the path does not take this method; Allow names those it takes"),
    Code.UNSUPPORTED_MEDIA_TYPE: (415, "the body is not application/json"),
    Code.UNAUTHORIZED: (401, "the server has API keys, and none of them was sent"),
    Code.BODY_TIMEOUT: (408, "the body did not arrive in time"),
    Code.QUEUE_FULL: (429, "more work is waiting than may; Retry-After says when there is room again"),
    Code.NOT_READY: (503, "the server is starting or stopping; Retry-After says when to ask again"),
    Code.DEADLINE: (504, "not solved in time: what was spent"),
    Code.INTERNAL: (500, "a fault of the server, logged under the request id"),
}
"""Each code's HTTP status and meaning."""
