"""JSON on the way out: plain data and numpy arrays, in one piece or in slices."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

LARGE = 500
"""Items above which an answer is built and sent in slices, so that other requests get their turn in between."""


@dataclass(frozen=True)
class Items:
    """A list in an answer, built slice by slice. `build(first, last)` gives the items of a range, `at_once` of them
    without a pause."""

    count: int
    build: Callable[[int, int], list[Any]]
    at_once: int = LARGE


def answer_response(content: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """JSON of plain data, numpy arrays and `Items`, streamed when there are many of them."""
    if all(value.count <= value.at_once for value in content.values() if isinstance(value, Items)):
        plain = {k: v.build(0, v.count) if isinstance(v, Items) else v for k, v in content.items()}
        return json_response(plain, headers=headers)

    async def slices() -> AsyncIterator[bytes]:
        opening = b"{"
        for name, value in content.items():
            yield opening + orjson.dumps(name) + b":"
            opening = b","
            if not isinstance(value, Items):
                yield orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
                continue
            bracket = b"["
            for first in range(0, value.count, value.at_once):
                part = orjson.dumps(
                    value.build(first, min(first + value.at_once, value.count)), option=orjson.OPT_SERIALIZE_NUMPY
                )
                yield bracket + part[1:-1]
                bracket = b","
                await asyncio.sleep(0)
            yield b"]"
        yield b"}"

    return StreamingResponse(slices(), headers=dict(headers), media_type="application/json")


def json_bytes(content: Any) -> bytes:
    """JSON of plain data and numpy arrays; a number that is not finite becomes null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The same as an answer."""
    return Response(json_bytes(content), status, dict(headers or {}), media_type="application/json")
