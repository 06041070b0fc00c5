"""What the server tells of itself: its models, what they cost, its health, its metrics."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.api.context import context_of, record_of
from service.api.errors import ApiError, Code, documented
from service.api.parameters import Parameters
from service.api.responses import json_response
from service.api.routes import PROGRAMS, HandlerRoute
from service.api.schemas import Liveness, ModelDescription, ModelList, Readiness, Tradeoff
from service.api.tradeoff import tradeoff_rows
from service.metrics import CONTENT_TYPE
from service.models import LoadedModel, UnknownModelError

router = APIRouter(route_class=HandlerRoute)
MODEL_PATHS = ("/models/{name}", "/models/{name}/tradeoff")

NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "`name` (its highest version) or `name@version`",
    "schema": {"type": "string", "minLength": 1},
    "example": "odenet-mnist",
}


@router.get("/models", response_model=ModelList, responses=documented(Code.INVALID_INPUT, Code.NOT_READY))
async def list_models(request: Request) -> Response:
    """Every model and version."""
    Parameters(request.query_params.multi_items(), ())
    models = context_of(request).models
    return json_response(
        {
            "models": [
                {
                    "name": model.name,
                    "version": model.manifest.version,
                    "task": model.manifest.task,
                    "default": models.is_default(model),
                    "ready": True,
                }
                for model in models
            ]
        }
    )


@router.get(
    MODEL_PATHS[0],
    openapi_extra={"parameters": [NAME]},
    response_model=ModelDescription,
    responses=documented(Code.UNKNOWN_MODEL, Code.INVALID_INPUT, Code.NOT_READY),
)
async def show_model(request: Request) -> Response:
    """What a model's artifact says of itself, and which routes it answers with which inputs."""
    Parameters(request.query_params.multi_items(), ())
    model = _model(request)
    manifest = model.manifest.model_dump(mode="json", exclude={"sha256": True, "provenance": {"data_sha256"}})
    signature = {
        route: {
            "program": program,
            "input": manifest["programs"][program]["input"],
            "args": manifest["programs"][program]["args"],
            "interval": manifest["programs"][program]["interval"],
            "outputs": manifest["programs"][program]["outputs"],
            "methods": list(manifest["programs"][program]["methods"]),
            "tol": manifest["programs"][program]["tol"],
        }
        for route, program in PROGRAMS.items()
        if program in model.programs
    }
    return json_response({**manifest, "signature": signature})


@router.get(
    MODEL_PATHS[1],
    openapi_extra={"parameters": [NAME]},
    response_model=Tradeoff,
    responses=documented(Code.UNKNOWN_MODEL, Code.INVALID_INPUT, Code.NOT_READY),
)
async def show_tradeoff(request: Request) -> Response:
    """What each calibrated tolerance costs and how wrong its answer is, with the milliseconds it takes here."""
    Parameters(request.query_params.multi_items(), ())
    programs = _model(request).programs.items()
    return json_response({"rows": [row for name, program in programs for row in tradeoff_rows(name, program)]})


def _model(request: Request) -> LoadedModel:
    """The model of the path. Errors: ApiError 404 naming the known ones."""
    models = context_of(request).models
    try:
        model = models.find(request.path_params["name"])
    except UnknownModelError as error:
        raise ApiError(Code.UNKNOWN_MODEL, str(error), {"known": models.names}) from error
    record_of(request).model = model.name
    return model


@router.get("/health/live", response_model=Liveness, responses=documented(Code.NOT_READY))
async def live(request: Request) -> Response:
    """200 while every shard of the engine turns; 503 when one has hung for 10 s."""
    context_of(request).check_alive()
    return json_response({"status": "live"})


@router.get("/health/ready", response_model=Readiness, responses=documented(Code.NOT_READY))
async def ready(request: Request) -> Response:
    """200 once every model is loaded, checked, warmed and timed, until the server begins to stop."""
    models = context_of(request).check_ready()
    return json_response({"status": "ready", "models": [f"{m.name}@{m.manifest.version}" for m in models]})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus exposition."""
    context = context_of(request)
    # Some 20 ms of text, during which the loop shall answer others.
    text = await asyncio.to_thread(context.metrics.text, context.runner.state)
    return Response(text, media_type=CONTENT_TYPE)
