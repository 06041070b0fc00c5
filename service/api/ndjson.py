"""Answers as lines: one for each item when it has ended, and a summary at last."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.accept import Form
from service.api.answers import failure_of
from service.api.asked import Asked
from service.api.errors import ApiError, Code, error_content
from service.api.middleware import CancelledWhenLeft
from service.api.running import Running
from service.api.solving import Job, note, timing
from service.engine.request import Request

log = logging.getLogger("odeserve")

Line = dict[str, Any]
Parts = AsyncGenerator[list[Line], None]


def lines_response(job: Job, asked: Asked) -> Response:
    """Every item by itself, as with partial=true. Errors: ApiError for what was refused before it began."""
    running = Running(job, asked.problems(job, partial=True), asked.rows_per_item)

    async def parts() -> Parts:
        async with aclosing(running.items()) as ended:
            async for items in ended:
                for first in range(0, len(items), asked.at_once):
                    some = items[first : first + asked.at_once]
                    told = asked.told(asked.some(running.request, some))
                    yield [line(index, item) for index, item in zip(some.tolist(), told, strict=True)]
        conclude(job, [running.request], asked.rows_per_item)

    return LinesResponse(job, parts, asked)


def line(number: int, item: dict[str, Any]) -> Line:
    """An item with its number as `index`; a class's index, which a JSON answer has there, is `class_index` here."""
    return {"index": number, **{"class_index" if name == "index" else name: value for name, value in item.items()}}


def conclude(job: Job, requests: Sequence[Request], rows_per_item: int = 1, tol: float | None = None) -> None:
    """Note what it cost once every item was told. Errors: ApiError for what ended it before that."""
    note(job, requests, rows_per_item, tol)
    for request in requests:
        failure = failure_of(request, rows_per_item)
        if failure:
            raise failure


class LinesResponse(Response):
    """Lines as they come. A client that leaves cancels what is under way; what goes wrong becomes the last line."""

    def __init__(self, job: Job, parts: Callable[[], Parts], asked: Asked) -> None:
        super().__init__(media_type=Form.LINES.value, headers=asked.headers)
        # There is no body yet, hence no length.
        del MutableHeaders(raw=self.raw_headers)["content-length"]
        self._job = job
        self._parts = parts
        self._asked = asked
        self._statuses: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with CancelledWhenLeft(self._job.request), aclosing(self._parts()) as parts:
                async for lines in parts:
                    self._statuses.update(line["status"] for line in lines)
                    await send({"type": "http.response.body", "body": _encoded(lines), "more_body": True})
            last = self._summary()
        except ApiError as error:
            self._job.record.status = error.code.value
            last = error_content(error)
        except ClientDisconnect:
            raise
        except Exception:
            # Its headers have gone out: the middleware cannot tell of a fault any more, the last line can.
            log.exception("request %s failed", self._job.record.request_id)
            self._job.record.status = Code.INTERNAL.value
            details = {"request_id": self._job.record.request_id}
            last = error_content(ApiError(Code.INTERNAL, "internal error; the log has it", details))
        await send({"type": "http.response.body", "body": _encoded([last])})

    def _summary(self) -> Line:
        record, manifest = self._job.record, self._job.plan.model.manifest
        solve = record.solve
        assert solve is not None  # noqa: S101 - every item was told
        if set(self._statuses) != {"ok"}:
            record.status = "partial"
        return {
            "summary": {
                "model": manifest.name,
                "version": manifest.version,
                **self._asked.extra,
                "items": len(self._asked),
                "statuses": dict(self._statuses),
                "nfe": solve.nfe,
                "tol": solve.tol,
                "timing_ms": timing(record),
            }
        }


def _encoded(lines: list[Line]) -> bytes:
    return b"".join(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE) for line in lines)
