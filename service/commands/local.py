"""The server's own app in this process, asked without a socket: the same answers as from a running server."""

import asyncio

import httpx

from node_model.manifest import read_manifest
from service.app import create_app
from service.models import find_artifacts
from service.settings import Settings, read_settings

LANES = 64
"""Width of steps where no setting names one; measuring what is best takes longer than most solves. No answer depends
on it."""


class InProcess(httpx.BaseTransport):
    """Answers requests by the app, with the settings of the environment and the models that a command needs.

    Errors: SettingsError, ArtifactError.
    """

    def __init__(self, program: str | None, model: str | None) -> None:
        settings = _settings(program, model)
        self._runner = asyncio.Runner()
        self._app = create_app(settings)
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._runner.run(self._start())
        self._transport = httpx.ASGITransport(self._app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._ask(request))

    def close(self) -> None:
        """Stop the engine."""
        self._runner.run(self._stop())
        self._runner.close()

    async def _start(self) -> None:
        await self._lifespan.__aenter__()
        try:
            await self._app.state.loading
        except BaseException:
            await self._stop()
            raise

    async def _stop(self) -> None:
        await self._lifespan.__aexit__(None, None, None)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content, request=request)


def _settings(program: str | None, model: str | None) -> Settings:
    """Those of the environment, with the models that can answer and no keys.

    Errors: SettingsError; ArtifactError for a model that is not there.
    """
    settings = read_settings()
    changes = {"lanes": settings.lanes or LANES, "api_keys": ()}
    if model is not None:
        return settings.model_copy(update={**changes, "models": (model,)})
    return settings.model_copy(update={**changes, "models": _able(settings, program)})


def _able(settings: Settings, program: str | None) -> tuple[str, ...]:
    """The default models that have a program; where none has it, all that do; where there is none, as set."""
    manifests = [read_manifest(path) for path in find_artifacts(settings)]
    able = {manifest.name for manifest in manifests if program is None or program in manifest.programs}
    defaults = {name.partition("@")[0] for name in settings.default_models}
    chosen = able & defaults or able
    return tuple(sorted(chosen)) or settings.models
