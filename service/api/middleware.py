"""Pure ASGI middleware: what holds for every request, whatever its route."""

import asyncio
import itertools
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable

from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import ApiError, Code, body_too_large, error_response
from service.api.prefix import inner_path
from service.record import RequestRecord
from service.spread import spread

log = logging.getLogger("odeserve")

WATCH_AFTER = 1.0
"""Seconds a request must last before somebody looks whether its client is still there."""
SMALL_BODY = 65536
"""Bytes that may arrive unread without costing the connection."""

TRACE_HEADERS = ("traceparent", "tracestate")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class CancelledWhenLeft:
    """Cancels what is inside when the client closes its connection; the request's body must have been read.

    Errors: ClientDisconnect when that happened.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        # A task for each request would cost more than what a short one could still save.
        self._begin = asyncio.get_running_loop().call_later(WATCH_AFTER, self._watch)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._begin.cancel()
        if self._watcher:
            self._watcher.cancel()
        if self._left and self._task and kind is asyncio.CancelledError and not self._task.uncancel():
            raise ClientDisconnect from None

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._task:
            self._task.cancel()


class RequestContext:
    """Gives each request an id and a record, turns a fault into a plain 500, and counts the request once."""

    def __init__(self, app: ASGIApp, count: Callable[[RequestRecord], None], *, traced: bool = False) -> None:
        self._app = app
        self._count = count
        self._traced = traced
        self._process = uuid.uuid4().hex[:16]
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else f"{self._process}-{next(self._numbers):x}"
        record = RequestRecord(request_id, received=time.perf_counter())
        if self._traced:
            record.trace_context = {name: headers[name] for name in TRACE_HEADERS if name in headers}
        scope.setdefault("state", {})["record"] = record
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except (ClientDisconnect, asyncio.CancelledError) as error:
            record.status = "cancelled"
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception:
            log.exception("request %s failed", request_id)
            record.status = Code.INTERNAL.value
            if not started:
                fault = ApiError(Code.INTERNAL, "internal error; the log has it", {"request_id": request_id})
                await error_response(fault)(scope, receive, send_with_id)
        finally:
            record.route = getattr(scope.get("route"), "path", "none")
            self._count(record)


class BodyLimits:
    """A body that is too large or too slow is not read: ApiError in the handler that wanted it.

    An answer given before a body of any size was read closes the connection, since the rest is never wanted.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, seconds: float) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        expected = int(announced) if announced.isdecimal() else 0
        chunked = "transfer-encoding" in headers
        complete = expected == 0 and not chunked
        read, begun, deadline = 0, False, 0.0

        async def limited_receive() -> Message:
            nonlocal complete, read, begun, deadline
            if complete:
                return await receive()
            if expected > self._most_bytes:
                raise body_too_large(self._most_bytes)
            if not begun:
                begun, deadline = True, asyncio.get_running_loop().time() + spread(self._seconds)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                late = f"the body did not arrive within {self._seconds:g} s"
                raise ApiError(Code.BODY_TIMEOUT, late, {"limit_seconds": self._seconds}) from None
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > self._most_bytes:
                raise body_too_large(self._most_bytes)
            return message

        async def closing_send(message: Message) -> None:
            unwanted = begun or chunked or expected > SMALL_BODY
            if message["type"] == "http.response.start" and unwanted and not complete:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, limited_receive, closing_send)


class DirectRoutes:
    """Hands requests for fixed paths straight to their handlers, through `around` alone.

    FastAPI's own way to a handler costs more than a small solve's answer does. It still has the same routes, for the
    OpenAPI text and for everything that does not match here: unknown paths, wrong methods, path parameters.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[APIRoute],
        around: Callable[[ASGIApp], ASGIApp],
        failed: Callable[[Request, ApiError], Response],
    ) -> None:
        self._app = app
        self._failed = failed
        self._direct = around(self._answer)
        self._routes = {
            (method, route.path): route for route in routes if "{" not in route.path for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], inner_path(scope))) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
        else:
            scope["route"] = route
            await self._direct(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response: Response = await scope["route"].endpoint(request)
        except ApiError as error:
            response = self._failed(request, error)
        await response(scope, receive, send)
