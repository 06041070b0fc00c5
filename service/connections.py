"""Connections that cost little and end: what uvicorn leaves open is closed here.

uvicorn looks at a connection's time only between two requests. It waits for ever for the first byte and for the rest of
a head, reads heads of any size, parses pipelined requests as fast as they come, and waits for ever for a client that
does not take its answer.
"""

import asyncio
import heapq
import logging
import resource
from contextlib import suppress
from functools import partial
from typing import Any, cast

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.errors import Code
from service.spread import spread

log = logging.getLogger("odeserve")

HEAD_BYTES = 65536
"""Largest head of a request, or trailer; what surrounds the chunks of a body counts too where it outweighs them."""
HEAD_LINES = 200
HEAD_TOO_LARGE = f"the head of the request is above {HEAD_BYTES} bytes"
SLICE_BYTES = 16384
"""What is parsed in one go: a reading of the socket may hold thousands of pipelined requests."""
CHUNK_OVERHEAD = 8
"""Bytes around a chunk for each byte in it that honest clients stay below, but for chunks of a byte or so."""
MOST_CONNECTIONS = 2**20
"""Where the system sets no limit."""
SPARE_FILES = 100
"""Files that are not connections: models, sockets, what libraries open."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `head_seconds`: for a head to arrive once it has begun, and for a client to take some of its
    answer; `most_connections`: beyond, those that have been idle longest make room.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        head_seconds: float,
        most_connections: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_seconds = head_seconds
        self._most_connections = most_connections
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._overhead = self._head_bytes = 0
        self._refusal = (400, Code.INVALID_INPUT, "expected HTTP/1.1; what was sent cannot be read as a request")
        self._later = b""
        self._replayed = False
        self._hold: _HeldFlow | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self._most_connections and not _make_room(self.connections):
            transport.abort()
            return
        super().connection_made(transport)
        self.flow = self._hold = _HeldFlow(transport)
        # As if a request had just been answered: uvicorn cancels it at the first byte.
        self.timeout_keep_alive_task = self.loop.call_later(
            spread(max(1, self.timeout_keep_alive)), self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hold is None:  # it was turned away
            return
        for timer in (self._head_timer, self._write_timer, self.timeout_keep_alive_task):
            if timer:
                timer.cancel()
        self._later = b""
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._later:
            # Reading is paused, but what the transport had read before still comes.
            self._later += data
        elif len(data) <= SLICE_BYTES:
            self._parse(data)
        else:
            self._parse_slices(data)

    def _parse_slices(self, data: bytes) -> None:
        """Parse until a second request waits for the first; what is behind it waits unparsed."""
        for first in range(0, len(data), SLICE_BYTES):
            if self.pipeline:
                self._later = data[first:]
                return
            if self.transport.is_closing():
                return
            self._parse(data[first : first + SLICE_BYTES])

    def _parse(self, data: bytes) -> None:
        self._overhead += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._overhead -= len(rest)
            try:
                self._go_on_without_upgrade(rest)
            except httptools.HttpParserError:
                self.send_400_response("")
        except httptools.HttpParserError:
            self.send_400_response("")
        if self.transport.is_closing():
            return
        cycle = self.cycle
        idle = cycle is None or cycle.response_complete
        if self._overhead > HEAD_BYTES:
            self._too_large()
        elif idle or self._in_head:
            # Data came, and no request of it: a head has begun, or what nobody wants goes on.
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(spread(self._head_seconds), self._head_is_late)
        elif self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
        if self.pipeline and self._hold:
            self._hold.hold()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the body of a request that offered another protocol, which the parser believes to begin here.

        Clients of HTTP/2 do so with their first request, its body included.
        """
        framing = [
            b"%s: %s\r\n" % (name, value)
            for name, value in self.headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        self.parser = httptools.HttpRequestParser(self)
        self._replayed = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        if rest:
            self._parse(rest)

    def on_message_begin(self) -> None:
        if not self._replayed:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._replayed:
            self._head_bytes += len(url)
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._replayed:
            self._head_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._replayed:
            self._replayed = False
            return
        if len(self.headers) > HEAD_LINES:
            self._refusal = (431, Code.TOO_LARGE, f"more than {HEAD_LINES} header lines")
            raise _RefusedError
        if self._head_bytes > HEAD_BYTES:
            # As one that never ends: a slice may hold the end of a head and what is behind it.
            self._refusal = (431, Code.TOO_LARGE, HEAD_TOO_LARGE)
            raise _RefusedError
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead = max(0, self._overhead - (1 + CHUNK_OVERHEAD) * len(body))
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        # uvicorn wakes the handler for each part: costly where a body drips, and all handlers want the whole of it.
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._overhead = 0
        # After an offer to upgrade the parser says so before the body, which is read then.
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._hold and self._hold.held and not self.pipeline:
            # Not from within the answer that has just ended.
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.transport.is_closing() or self.pipeline or self._hold is None:
            return
        later, self._later = self._later, b""
        self._hold.release()
        if later:
            self._parse_slices(later)

    # Refusing

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            # Pipelined behind a request that is still being answered.
            self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)
        elif self._in_head:
            message = f"the head of the request did not arrive within {self._head_seconds:g} s"
            self._refuse(408, Code.BODY_TIMEOUT, message)
        else:
            self.transport.close()

    def _too_large(self) -> None:
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._refuse(431, Code.TOO_LARGE, HEAD_TOO_LARGE)
        else:
            self.transport.abort()

    def _refuse(self, status: int, code: Code, message: str) -> None:
        self._refusal = (status, code, message)
        self.send_400_response(message)

    def send_400_response(self, msg: str) -> None:
        """Of uvicorn; what is said is the refusal that was noted, or that this is no HTTP."""
        if self.cycle is not None and not self.cycle.response_complete:
            # In the middle of another answer there is no place for this one.
            self.transport.close()
            return
        status, code, message = self._refusal
        body = orjson.dumps({"error": {"code": code.value, "message": message, "details": {}}})
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_writing(self, waiting: int) -> None:
        self._write_timer = self.loop.call_later(self._head_seconds, self._writing_is_late, waiting)

    def _writing_is_late(self, waiting: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now < waiting:
            self._watch_writing(now)
        else:
            self.transport.abort()

    @property
    def idle_until(self) -> float | None:
        """When the connection would be closed, in the loop's time; None while a request is under way."""
        timer = self.timeout_keep_alive_task or self._head_timer
        busy = self.cycle is not None and not self.cycle.response_complete
        return None if timer is None or busy else timer.when()


class _HeldFlow(FlowControl):
    """Flow control whose reading stays paused while pipelined requests wait: uvicorn's resumes with each of them."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def hold(self) -> None:
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        self.held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class _RefusedError(Exception):
    """Ends the parsing of a head."""


def _make_room(connections: set[Any]) -> bool:
    """Close some of the connections that have been idle longest. False when all are busy."""
    idle = [(until, number, c) for number, c in enumerate(connections) if (until := c.idle_until) is not None]
    # Several at once, because looking for them takes a while.
    for _, _, connection in heapq.nsmallest(1 + len(idle) // 20, idle):
        connection.transport.abort()
    return bool(idle)


def guarded(head_seconds: float, most_connections: int) -> type[asyncio.Protocol]:
    """What makes a protocol for each connection, for uvicorn's `http`."""
    make = partial(GuardedProtocol, head_seconds=head_seconds, most_connections=most_connections)
    # All that uvicorn does with a class is to call it.
    return cast(type[asyncio.Protocol], make)


def most_connections() -> int:
    """How many connections there may be, after raising this process's limit of open files as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Not every system allows what it says it would.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if most == resource.RLIM_INFINITY else max(most - SPARE_FILES, most // 2)
