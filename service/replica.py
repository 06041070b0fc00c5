"""The app for hosts that run ASGI apps themselves: it starts once models are loaded, and ends with its host."""

import gc
import logging
import sys
from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import Context
from service.app import create_app
from service.logs import logging_to
from service.scrape import MetricsPort, TargetFile
from service.serve import STDOUT, SWITCH_SECONDS, exported_spans
from service.settings import Settings

log = logging.getLogger("odeserve")
REQUEST_ID = b"x-request-id"


class ReplicaApp:
    """`create_app` with a start-up that waits for the models.

    The host in front puts X-Request-ID on every request that comes without one and on every answer; the app takes it
    over from the request, and must not send it a second time.
    """

    def __init__(self, settings: Settings, target: TargetFile | None = None) -> None:
        self._settings = settings
        self._target = target
        self._inner = create_app(settings, exported_spans())
        self._context: Context = self._inner.state.context
        self._running = ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(self._inner, scope, receive, send)
            return

        async def send_without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name != REQUEST_ID]
            await send(message)

        await self._inner(scope, receive, send_without_id)

    def check_health(self) -> None:
        """The engine's heartbeat. Errors: ApiError when a shard has hung for 10 s."""
        self._context.check_alive()
        if self._target:
            self._target.touch()

    async def _lifespan(self, inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_when_loaded(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                # What cannot be loaded is raised here, and the host told that the start failed.
                await self._inner.state.loading
                self._begin()
            await send(message)

        with self._running:
            await inner(scope, receive, send_when_loaded)

    def _begin(self) -> None:
        settings, metrics = self._settings, self._context.metrics
        sys.setswitchinterval(SWITCH_SECONDS)
        self._running.enter_context(
            logging_to(STDOUT, form=settings.log_format, level=settings.log_level, dropped=metrics.line_dropped)
        )
        if self._target:
            port = MetricsPort(lambda: metrics.text(self._context.runner.state))
            self._running.callback(port.close)
            self._target.write(port.port)
            self._running.callback(self._target.remove)
        # What is there now stays: the garbage collector need not look at it again and again.
        gc.collect()
        gc.freeze()
