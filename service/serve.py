"""Running the app: socket, event loop, and what is said while it starts."""

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.models import Models
from service.settings import Settings


class ServeError(RuntimeError):
    """The server cannot run here; the message says why."""


def serve_until_stopped(settings: Settings, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Listen, load the models, announce the address once they are ready, and answer until a signal.

    Errors: ServeError when the address cannot be had; ArtifactError when a model cannot be loaded.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(uvicorn.Server(config), app, listener, lambda models: announce(_welcome(url, models))))


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
                ready(loading.result())
            else:
                server.should_exit = True
                await serving
                loading.result()
    await serving


def _welcome(url: str, models: Models) -> str:
    names = ", ".join(f"{model.name}@{model.manifest.version}" for model in models)
    return f"odeserve is ready on {url} with {names}"
