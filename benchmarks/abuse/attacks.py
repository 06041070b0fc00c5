"""Clients that misbehave. Each runs on its connections until told to stop, and counts what the server made of it."""

import asyncio
import gzip
import json
import random
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

HEAD = b"POST /classify?tol=1e-2 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
BOMB_MB = 200
DRIP_SECONDS = 0.5
OPENED_AT_ONCE = 50
PAUSE = 5.0
"""Before those come back whose point is to hold connections: what opening them costs is another attack."""


class Client:
    """One connection and what became of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Counter[str]) -> None:
        self._reader, self._writer, self._seen = reader, writer, seen

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ended(self) -> None:
        """Read until the server closes, and count the statuses of its answers."""
        received = await self._reader.read(65536)
        while received:
            self._count(received)
            received = await self._reader.read(65536)
        self._seen["closed"] += 1

    async def answered(self) -> None:
        """Read the first answer's beginning and count it."""
        received = await self._reader.read(65536)
        if not received:
            raise ConnectionResetError
        self._count(received)

    def _count(self, received: bytes) -> None:
        for line in received.split(b"\r\n"):
            if line.startswith(b"HTTP/1.1 "):
                self._seen[line[9:12].decode()] += 1


@dataclass(frozen=True)
class Attack:
    """What is done on each of so many connections.

    `again`: whoever is closed comes back, within `pause` seconds. Units: seconds.
    """

    name: str
    connections: int
    act: Callable[[Client], Awaitable[None]]
    again: bool = False
    pause: float = 0.0


async def run(attack: Attack, host: str, port: int, stop: asyncio.Event, seen: Counter[str]) -> None:
    """Attack until `stop`, counting in `seen`."""
    opening = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one() -> None:
        while not stop.is_set():
            try:
                async with opening:
                    reader, writer = await asyncio.open_connection(host, port)
            except OSError:
                seen["refused"] += 1
                await asyncio.sleep(0.1)
                continue
            seen["opened"] += 1
            try:
                await attack.act(Client(reader, writer, seen))
            except (ConnectionError, asyncio.IncompleteReadError):
                seen["closed"] += 1
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            if not attack.again:
                return
            await asyncio.sleep(random.uniform(0, attack.pause))

    tasks = [asyncio.create_task(one()) for _ in range(attack.connections)]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _silent(client: Client) -> None:
    await client.ended()


async def _both(client: Client, sending: Awaitable[None]) -> None:
    """Send, and notice meanwhile what comes back."""
    sender = asyncio.ensure_future(sending)
    try:
        await client.ended()
    finally:
        sender.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sender


async def _drip(client: Client, begin: bytes, drop: bytes) -> None:
    await client.send(begin)
    while True:
        await asyncio.sleep(DRIP_SECONDS)
        await client.send(drop)


async def _stream(client: Client, begin: bytes, part: bytes) -> None:
    await client.send(begin)
    while True:
        await client.send(part)


def _dripping(begin: bytes, drop: bytes) -> Callable[[Client], Awaitable[None]]:
    return lambda client: _both(client, _drip(client, begin, drop))


def _streaming(begin: bytes, part: bytes) -> Callable[[Client], Awaitable[None]]:
    return lambda client: _both(client, _stream(client, begin, part))


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(BOMB_MB)) + packer.flush()


def _whole(body: bytes, coding: bytes = b"") -> bytes:
    return HEAD + coding + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _asking(request: bytes) -> Callable[[Client], Awaitable[None]]:
    async def act(client: Client) -> None:
        while True:
            await client.send(request)
            await client.answered()

    return act


async def _deaf(client: Client) -> None:
    """Asks for the largest answer there is without a solve, again and again, and takes none."""
    while True:
        await client.send(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")


def attacks() -> list[Attack]:
    """All of them, one after the other."""
    nested = json.dumps({"image": 1}).encode().replace(b"1", b"[" * 50_000)
    return [
        Attack("10,000 connections that say nothing", 10_000, _silent),
        Attack("heads that drip", 1_000, _dripping(b"POST /classify HTTP/1.1\r\n", b"X: y\r\n"), True, PAUSE),
        Attack("bodies that drip", 500, _dripping(HEAD + b"Content-Length: 5000\r\n\r\n", b" "), True, PAUSE),
        Attack(
            "bodies announced and never sent",
            1_000,
            _dripping(HEAD + b"Content-Length: 5000\r\n\r\n", b""),
            again=True,
            pause=PAUSE,
        ),
        Attack(
            "chunks without end",
            4,
            _streaming(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
            again=True,
        ),
        Attack("heads without end", 4, _streaming(b"GET /classify HTTP/1.1\r\nX: ", b"y" * 65536), again=True),
        Attack(
            "pipelined requests without end",
            2,
            _streaming(b"", b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 500),
            again=True,
        ),
        Attack(f"zip bombs of {BOMB_MB} MB", 2, lambda client: _asking(_whole(_bomb(), GZIP))(client), again=True),
        Attack("damaged gzip", 2, _asking(_whole(gzip.compress(b"x" * 10_000)[:-4], GZIP)), again=True),
        Attack("deeply nested JSON", 2, _asking(_whole(nested)), again=True),
        Attack("answers that nobody takes", 20, _deaf, again=True),
    ]
