"""Log lines, as text or JSON, written by a thread of their own: whoever logs never waits for whoever reads."""

import logging
import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Literal

import orjson

from service.record import RequestRecord

requests = logging.getLogger("odeserve.request")

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MOST_LINES = 10_000
"""Lines that may wait to be written; further ones are dropped and counted."""
PIECE_LINES = 1_000
"""Lines after which what has come together is written, whether or not more wait."""
GATHER_SECONDS = 0.05
"""How long the writing thread lets lines come together: woken for each, it would take the interpreter from the solver
threads as often."""
END = None
"""In the queue: nothing comes after this. What QueueListener takes for it."""
LAST_WORDS_SECONDS = 2.0
"""At the end, for lines that still wait."""
QUIET = ("/health/live", "/health/ready", "/metrics")
"""Asked every few seconds by machines: logged at `debug` while they answer well."""


def log_request(record: RequestRecord, seconds: float) -> None:
    """One line for a request that has ended, to be made by the thread that writes it."""
    level = logging.DEBUG if record.route in QUIET and record.status == "ok" else logging.INFO
    if requests.isEnabledFor(level):
        # Made by hand: the logger's own call would first look up who called it.
        requests.handle(logging.LogRecord(requests.name, level, "", 0, RequestLine(record, seconds), (), None))


class RequestLine:
    """What is said of a request; as text only when it is wanted."""

    def __init__(self, record: RequestRecord, seconds: float) -> None:
        self._record = record
        self._seconds = seconds

    def fields(self) -> dict[str, Any]:
        """By name; those of the solve are missing where nothing was solved."""
        record, solve = self._record, self._record.solve
        told: dict[str, Any] = {
            "request_id": record.request_id,
            "route": record.route,
            "model": record.model,
            "status": record.status,
            "total_ms": round(1e3 * self._seconds, 3),
        }
        if solve:
            told |= {
                "tol": solve.tol,
                "method": solve.method,
                "items": solve.items,
                "nfe": solve.nfe,
                "queue_ms": round(1e3 * solve.queue_seconds, 3),
                "solve_ms": round(1e3 * solve.solve_seconds, 3),
            }
        return told | ({"trace_id": record.trace_id} if record.trace_id else {})

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.fields().items())


class JsonLines(logging.Formatter):
    """A JSON object a line: time, level, logger, then a request's fields or `message`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= record.msg.fields() if isinstance(record.msg, RequestLine) else {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _Dropping(QueueHandler):
    """Puts records on the queue as they are, since their reader shares the process; counts those that do not fit."""

    def __init__(self, lines: "queue.SimpleQueue[Any]", dropped: Callable[[], None]) -> None:
        super().__init__(lines)
        self._lines = lines
        self._dropped = dropped

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        # A queue with a bound of its own has a lock in Python; whoever is interrupted holding it stops all the others.
        if self._lines.qsize() < MOST_LINES:
            self._lines.put(record)
        else:
            self._dropped()


class _Writer(QueueListener):
    """Writes what waits in one piece, time and again."""

    def __init__(self, lines: "queue.SimpleQueue[Any]", descriptor: int, formatter: logging.Formatter) -> None:
        super().__init__(lines)
        self._lines = lines
        self._descriptor = descriptor
        self._formatter = formatter
        self._text: list[str] = []

    def dequeue(self, block: bool) -> Any:
        try:
            record = self._lines.get_nowait()
        except queue.Empty:
            self._write()
            record = self._lines.get()
            time.sleep(GATHER_SECONDS)
        if record is END or len(self._text) >= PIECE_LINES:
            self._write()
        return record

    def handle(self, record: logging.LogRecord) -> None:
        try:
            self._text.append(self._formatter.format(record))
        except Exception as error:
            self._text.append(f"a log line could not be made: {error!r}")

    def _write(self) -> None:
        # Straight to the descriptor: a thread that hangs in a buffered stream would hang the interpreter's end too.
        left = memoryview("".join(f"{line}\n" for line in self._text).encode(errors="replace"))
        self._text = []
        with suppress(OSError):  # nobody is there to be told
            while left:
                left = left[os.write(self._descriptor, left) :]

    def stop(self) -> None:
        """Write what waits, as far as somebody reads it."""
        self._lines.put(END)
        if self._thread:
            self._thread.join(LAST_WORDS_SECONDS)


@contextmanager
def logging_to(
    descriptor: int, *, form: Literal["text", "json"], level: str, dropped: Callable[[], None]
) -> Iterator[None]:
    """What is logged meanwhile, at `level` and above, is written there; `dropped` is called for a line that is not."""
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    writer = _Writer(lines, descriptor, JsonLines() if form == "json" else logging.Formatter(TEXT))
    root, handler = logging.getLogger(), _Dropping(lines, dropped)
    root.setLevel(level.upper())
    root.addHandler(handler)
    writer.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        writer.stop()
