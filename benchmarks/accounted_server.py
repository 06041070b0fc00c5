"""The server, keeping books of the processor time that its own metrics and log lines take where requests wait for them.

For benchmarks.metrics_cost: writes what was spent so far to the file that the variable SPENT names.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import service.app
import service.metrics
from service.cli import app

OFTEN = 200
spent = {"answers": 0, "metrics": 0, "log lines": 0}
"""Nanoseconds, and how many answers they were for."""


def timed(name: str, work: Callable[..., None]) -> Callable[..., None]:
    """The same work, its processor time added up."""

    def wrapped(*words: object) -> None:
        begun = time.thread_time_ns()
        work(*words)
        spent[name] += time.thread_time_ns() - begun

    return wrapped


def told(work: Callable[..., None]) -> Callable[..., None]:
    """The same work, done once for each answer; the books are written now and then."""

    def wrapped(*words: object) -> None:
        work(*words)
        spent["answers"] += 1
        if spent["answers"] % OFTEN == 0:
            path = Path(os.environ["SPENT"])
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps({"process": time.process_time_ns(), **spent}))
            beside.replace(path)

    return wrapped


def main() -> None:
    """As `odeserve`."""
    metrics = service.metrics.Metrics
    metrics.count = timed("metrics", metrics.count)  # type: ignore[method-assign]
    metrics.step = timed("metrics", metrics.step)  # type: ignore[method-assign]
    service.app.log_request = told(timed("log lines", service.app.log_request))
    app()


if __name__ == "__main__":
    main()
