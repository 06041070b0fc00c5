"""One HTTP/1.1 connection, as light as can be: the client must not take the cores from what it measures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools


@dataclass
class Reply:
    """An answer. Header names in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def head_lines(headers: Mapping[str, str]) -> str:
    """Headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


class Connection(asyncio.Protocol):
    """Sends one request at a time and parses its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reply = Reply()
        self._done: asyncio.Future[Reply] | None = None
        self._keep = True

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Errors: OSError when nobody listens."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Reply:
        """Send a whole request. Errors: ConnectionError when the connection ends before its answer does."""
        if self._transport is None:
            raise ConnectionResetError("not connected")
        self._parser, self._reply = httptools.HttpResponseParser(self), Reply()
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives, told to the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done and not self._done.done():
            self._done.set_exception(ConnectionResetError("the server closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools."""
        self._reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Of httptools."""
        self._reply.body += body

    def on_message_complete(self) -> None:
        """Of httptools."""
        self._reply.status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()
        if self._done and not self._done.done():
            self._done.set_result(self._reply)
