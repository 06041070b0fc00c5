"""Bodies that were sent packed: unpacked on the way in, so that handlers see plain bytes."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import ApiError, Code, body_too_large, invalid

PIECE = 2**18
"""Bytes unpacked in one go: a millisecond or so, then others get their turn."""
MOST_MEMBERS = 1000
"""Data packed in blocks have some hundreds; more would take time and bring nothing."""
CODINGS = ("gzip", "identity")
_GZIP = 31  # of zlib: with gzip's header and checksum


class GzipBodies:
    """Unpacks bodies with `Content-Encoding: gzip` while they are read, and no more of them than a body may have.

    Errors: in the handler that reads the body ApiError 415 for another encoding, 413 above the limit, 422 for what is
    damaged or ends early.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Every request passes here: this is the quickest way to look.
            for name, _ in scope["headers"]:
                if name == b"content-encoding":
                    scope, receive = self._plain(scope, receive)
                    break
        await self._app(scope, receive, send)

    def _plain(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """What the handler gets: without the header, since the body is no longer what it says."""
        headers = scope["headers"]
        given = ", ".join(value.decode("latin-1") for name, value in headers if name == b"content-encoding")
        coding = given.strip().lower()
        scope["headers"] = [pair for pair in headers if pair[0] not in (b"content-encoding", b"content-length")]
        if coding in ("gzip", "x-gzip"):
            return scope, _Unpacking(receive, self._most_bytes).receive
        if coding in ("", "identity"):
            return scope, receive

        async def refuse() -> Message:
            message = f"Content-Encoding: expected {' or '.join(CODINGS)}, got {given[:80]!r}"
            details = {"expected": list(CODINGS)}
            raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, details, {"Accept-Encoding": "gzip"})

        return scope, refuse


class _Unpacking:
    """The messages of one body, unpacked."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._messages = self._unpacked()

    async def receive(self) -> Message:
        """Of ASGI."""
        try:
            return await anext(self._messages)
        except StopAsyncIteration:
            return await self._receive()

    async def _unpacked(self) -> AsyncIterator[Message]:
        unpacker, members, total, more = zlib.decompressobj(_GZIP), 1, 0, True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                yield message
                return
            more = message.get("more_body", False)
            data, piece = message.get("body", b""), b""
            # A whole piece may have left something inside, even where all of the data was taken.
            while data or len(piece) == PIECE:
                if unpacker.eof:
                    members += 1
                    if members > MOST_MEMBERS:
                        raise invalid("body", f"more than {MOST_MEMBERS} gzip members")
                    unpacker = zlib.decompressobj(_GZIP)
                try:
                    piece = unpacker.decompress(data, PIECE)
                except zlib.error as error:
                    raise invalid("body", f"expected gzip data, as Content-Encoding says: {error}") from error
                data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                total += len(piece)
                if total > self._most_bytes:
                    raise body_too_large(self._most_bytes, "the unpacked body")
                yield {"type": "http.request", "body": piece, "more_body": True}
                await asyncio.sleep(0)
                if unpacker.eof and not data:
                    break
        if not unpacker.eof:
            raise invalid("body", "the gzip data end early")
        yield {"type": "http.request", "body": b"", "more_body": False}
