"""Running the app: socket, event loop, and what is said while it starts."""

import asyncio
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.api.context import Context
from service.app import Spans, create_app
from service.connections import guarded, most_connections
from service.engine.request import End
from service.logs import logging_to
from service.models import Models
from service.settings import OTLP_VARIABLES, Settings, traces_wanted
from service.tls import tls_context

log = logging.getLogger("odeserve")

SWITCH_SECONDS = 5e-5
"""How long a thread keeps the interpreter while another wants it. A shard needs it for some 100 us between two steps of
milliseconds; at Python's 5 ms it would wait longer for the event loop than it computes."""
LOOK_SECONDS = 0.02
STDOUT = 1


class ServeError(RuntimeError):
    """The server cannot run here; the message says why."""


def serve_until_stopped(settings: Settings, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Listen, load the models, announce the address once they are ready, and answer until a signal.

    Errors: ServeError when the address cannot be had; TlsError; ArtifactError or SettingsError when a model cannot be
    loaded.
    """
    least = logging.getLevelNamesMapping()[settings.log_level.upper()]
    # uvicorn warns of everything that is sent to it and is not HTTP.
    for chatty, wanted in (("uvicorn.error", logging.ERROR), ("asyncio", logging.WARNING)):
        logging.getLogger(chatty).setLevel(max(wanted, least))
    tls = tls_context(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if tls else 'http'}://{shown}:{listener.getsockname()[1]}{settings.root_path}"
    app = create_app(settings, exported_spans())
    context: Context = app.state.context
    config = uvicorn.Config(
        app,
        http=guarded(settings.body_seconds, most_connections()),
        ws="none",
        ssl_context_factory=(lambda *_: tls) if tls else None,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        # Only for answers that nobody reads: what is under way has been ended by then.
        timeout_graceful_shutdown=int(settings.drain_seconds) + 2,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    dropped = context.metrics.line_dropped
    say = announce if settings.log_format == "text" else log.info
    with (
        logging_to(STDOUT, form=settings.log_format, level=settings.log_level, dropped=dropped),
        asyncio.Runner(loop_factory=config.get_loop_factory()) as runner,
    ):
        runner.run(_serve(DrainingServer(config, context), app, listener, lambda models: say(_welcome(url, models))))


class DrainingServer(uvicorn.Server):
    """A server that on a signal first tells proxies that it stops, then everybody, then closes its listener, then ends
    what is under way.

    uvicorn's own closes the listener at once, which a proxy sees as refused connections, and exits 143.
    """

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: leave at once, whatever is under way."""
        if self._context.leaving:
            os._exit(128 + sig)
        self._context.leaving = True
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        settings, runner = self._context.settings, self._context.runner
        if settings.lame_duck_seconds:
            log.info("stopping: not ready any more, requests are answered for %g s", settings.lame_duck_seconds)
            await asyncio.sleep(settings.lame_duck_seconds)
        self._context.draining = True
        if settings.drain_notice_seconds:
            log.info("stopping: new requests are turned away for %g s", settings.drain_notice_seconds)
            await asyncio.sleep(settings.drain_notice_seconds)
        self.should_exit = True
        until = time.monotonic() + settings.drain_seconds
        while not runner.idle and time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
        runner.end_all(End.STOPPED)


def exported_spans() -> Spans | None:
    """Where the environment names a collector. Errors: ServeError without OpenTelemetry."""
    if not traces_wanted():
        return None
    try:
        from service.tracing import Spans as ExportedSpans
    except ImportError as error:
        raise ServeError(f"{OTLP_VARIABLES[0]}: needs OpenTelemetry: pip install 'odeserve[otel]' ({error})") from error
    return ExportedSpans.exported()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServeError(f"{host}:{port}: cannot listen: {error.strerror or error}") from error


async def _serve(
    server: uvicorn.Server, app: FastAPI, listener: socket.socket, ready: Callable[[Models], None]
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if not serving.done():
        loading: asyncio.Task[Models] = app.state.loading
        await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and not loading.cancelled():
            if loading.exception() is None:
                # What is there now stays: the garbage collector need not look at it again and again.
                gc.collect()
                gc.freeze()
                ready(loading.result())
            else:
                server.should_exit = True
                await serving
                loading.result()
    await serving


def _welcome(url: str, models: Models) -> str:
    names = ", ".join(f"{model.name}@{model.manifest.version}" for model in models)
    return f"odeserve is ready on {url} with {names}"
