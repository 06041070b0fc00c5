"""The ASGI app: parts put together, models loaded in the background."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from service.api import about, docs_page, playground_page, routes
from service.api.context import Context, record_of
from service.api.cross_origin import cross_origin
from service.api.errors import ApiError, Code, error_response
from service.api.expected import expect_requests
from service.api.gzip import GzipBodies
from service.api.keys import KeyGuard
from service.api.middleware import BodyLimits, DirectRoutes, RequestContext
from service.api.openapi import describe
from service.api.prefix import UnderPrefix, inner_path
from service.api.swap import serve_models
from service.api.v2 import control
from service.api.v2 import routes as v2_routes
from service.build import build_version
from service.logs import log_request
from service.metrics import Metrics
from service.models import Models, load_models
from service.record import RequestRecord
from service.settings import Settings

log = logging.getLogger("odeserve")

ROUTERS = (routes.router, about.router, playground_page.router, docs_page.router, v2_routes.router, control.router)
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
DESCRIPTION = "Neural ordinary differential equations, with the solver's tolerance as a request parameter."


class Spans(Protocol):
    """Who is told of each request that has ended; service.tracing has one for OpenTelemetry."""

    def record(self, record: RequestRecord, seconds: float) -> None:
        """Note the request's trace id in its record."""

    def close(self) -> None:
        """There will be no more."""


def create_app(settings: Settings, spans: Spans | None = None) -> FastAPI:
    """The server as an ASGI app. `app.state.loading` is the task that loads the models; it holds the error if one
    cannot be loaded, and whoever runs the app then ends the process.
    """
    context = Context(settings, Metrics(settings.backend, settings.queue_seconds))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context.runner.start()
        app.state.loading = asyncio.create_task(
            _load(context, [getattr(route, "path", "none") for route in app.router.routes])
        )
        yield
        app.state.loading.cancel()
        context.loader.shutdown(wait=False)
        await asyncio.to_thread(context.runner.stop)
        if spans:
            await asyncio.to_thread(spans.close)

    app = FastAPI(
        title="odeserve",
        version=build_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        # docs_page has its own, with nothing from elsewhere.
        openapi_url=None,
        # FastAPI would look at the environment for its own instrumentation at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.context = context
    # The routes themselves, because including the routers would wrap each request once more.
    app.router.routes.extend(ROUTES)
    app.openapi = cache(partial(describe, app, settings))  # type: ignore[method-assign]
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_exception)

    def count(record: RequestRecord) -> None:
        seconds = time.perf_counter() - record.received
        context.metrics.count(record, seconds)
        if spans:
            spans.record(record, seconds)
        log_request(record, seconds)

    def around(inner: ASGIApp) -> ASGIApp:
        inner = GzipBodies(inner, settings.max_body_bytes)
        if settings.api_keys:
            inner = KeyGuard(inner, (key.get_secret_value() for key in settings.api_keys), _failed)
        return RequestContext(
            BodyLimits(inner, settings.max_body_bytes, settings.body_seconds), count, traced=spans is not None
        )

    app.add_middleware(around)
    stack: ASGIApp = DirectRoutes(app.build_middleware_stack(), ROUTES, around, _failed)
    if settings.cors_origins:
        stack = cross_origin(stack, settings.cors_origins)
    app.middleware_stack = UnderPrefix(stack, settings.root_path) if settings.root_path else stack
    return app


async def _load(context: Context, paths: Iterable[str]) -> Models:
    models = await asyncio.get_running_loop().run_in_executor(context.loader, load_models, context.settings)
    serve_models(context, models)
    expect_requests(context, paths)
    return models


def _failed(request: Request, error: ApiError) -> Response:
    record_of(request).status = error.code.value
    return error_response(error)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - how Starlette calls it, told to the type checker
    return _failed(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own answers: unknown path, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    path, prefix = f"{inner_path(request.scope):.200}", request.scope.get("root_path", "")
    if error.status_code == 404:
        return await _on_api_error(request, ApiError(Code.NOT_FOUND, f"no path {path}; see {prefix}/docs"))
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method:.20} {path}: expected {allowed}"
        return await _on_api_error(
            request, ApiError(Code.METHOD_NOT_ALLOWED, message, {"allowed": allowed.split(", ")}, {"Allow": allowed})
        )
    return await _on_api_error(request, ApiError(Code.INVALID_INPUT, str(error.detail)))
