"""Requests sent at their times, over as many connections as that takes."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult

from service.load.arrivals import Arrival
from service.load.connection import Connection, Reply, head_lines

_TIMING = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True)
class Outcome:
    """What became of a request. `status` 0: the connection failed.

    Units: latency in seconds from the intended time; `timing` in milliseconds, by the names of Server-Timing.
    """

    tol: str
    status: int
    latency: float
    late: float
    """By how much the client itself sent too late."""
    nfe: int | None = None
    retry_after: float | None = None
    used_tol: float | None = None
    timing: Mapping[str, float] = field(default_factory=dict)


class LoadClient:
    """Sends arrivals to a URL's route; idle connections are used again."""

    def __init__(
        self,
        url: SplitResult,
        path: Callable[[Arrival], str],
        bodies: Sequence[bytes],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._host, self._port = url.hostname or "127.0.0.1", url.port or 80
        self._prefix = url.path.rstrip("/")
        self._path = path
        self._bodies = bodies
        named = {"Host": f"{self._host}:{self._port}", "Content-Type": "application/json"}
        self._headers = head_lines(named | dict(headers or {}))
        self._idle: list[Connection] = []

    async def run(self, arrivals: Sequence[Arrival], progress: Callable[[int], None]) -> list[Outcome]:
        """Outcomes in the order of the arrivals, once the last is there."""
        begun = time.perf_counter()
        asked: list[asyncio.Task[Outcome]] = []
        for number, arrival in enumerate(arrivals):
            wait = begun + arrival.at - time.perf_counter()
            if wait > 0:
                progress(number)
                await asyncio.sleep(wait)
            asked.append(asyncio.create_task(self._send(arrival, begun + arrival.at)))
        outcomes = await asyncio.gather(*asked)
        progress(len(arrivals))
        for connection in self._idle:
            connection.close()
        return outcomes

    async def _send(self, arrival: Arrival, due: float) -> Outcome:
        late = time.perf_counter() - due
        try:
            reply = await self._ask(arrival)
        except OSError:
            return Outcome(arrival.tol, 0, time.perf_counter() - due, late)
        latency = time.perf_counter() - due
        nfe, retry, tol = (reply.headers.get(name) for name in ("x-nfe", "retry-after", "x-tol"))
        return Outcome(
            arrival.tol,
            reply.status,
            latency,
            late,
            nfe=int(nfe) if nfe else None,
            retry_after=float(retry) if retry else None,
            used_tol=float(tol) if tol else None,
            timing={name: float(value) for name, value in _TIMING.findall(reply.headers.get("server-timing", ""))},
        )

    async def _ask(self, arrival: Arrival) -> Reply:
        body = self._bodies[arrival.body]
        head = (
            f"POST {self._prefix}{self._path(arrival)} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        )
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                break
        else:
            connection = await Connection.open(self._host, self._port)
        reply = await connection.ask(head.encode() + body)
        if connection.usable:
            self._idle.append(connection)
        return reply
