"""Thin handlers of the Open Inference Protocol."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.context import context_of
from service.api.errors import Code
from service.api.parameters import Parameters
from service.api.reading import FEW_BYTES
from service.api.responses import LARGE, json_response
from service.api.routes import SOLVE_CODES, HandlerRoute
from service.api.solving import Job
from service.api.v2.answering import answered, plan_of, solved_columns
from service.api.v2.asking import HEADER_LENGTH, read_ask
from service.api.v2.described import described_config, described_model, described_server
from service.api.v2.documents import INFER, MODEL, VERSION, documented_plainly
from service.api.v2.offers import asked_for
from service.api.v2.schemas import InferAnswer, Live, ModelConfig, ModelMetadata, ModelReady, Ready, ServerMetadata
from service.api.v2.signature import Signature

router = APIRouter(route_class=HandlerRoute, tags=["Open Inference Protocol"])

INFER_PATHS = ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer")
LOOKED_UP = documented_plainly(Code.INVALID_INPUT, Code.UNKNOWN_MODEL, Code.NOT_READY)
ONE: dict[str, Any] = {"parameters": [MODEL]}
ONE_VERSION: dict[str, Any] = {"parameters": [MODEL, VERSION]}


@router.get("/v2/health/live", response_model=Live, responses=documented_plainly(Code.NOT_READY))
async def live(request: Request) -> Response:
    """200 while every shard of the engine turns."""
    context_of(request).check_alive()
    return json_response({"live": True})


@router.get("/v2/health/ready", response_model=Ready, responses=documented_plainly(Code.NOT_READY))
async def ready(request: Request) -> Response:
    """200 once every model is loaded, checked, warmed and timed, until the server begins to stop."""
    context_of(request).check_ready()
    return json_response({"ready": True})


@router.get("/v2", response_model=ServerMetadata, responses=documented_plainly(Code.INVALID_INPUT))
async def server_metadata(request: Request) -> Response:
    """Name, version and the protocol's extensions that there are."""
    Parameters(request.query_params.multi_items(), ())
    return json_response(described_server(context_of(request).settings))


@router.get("/v2/models/{model}", response_model=ModelMetadata, responses=LOOKED_UP, openapi_extra=ONE)
@router.get(
    "/v2/models/{model}/versions/{version}",
    response_model=ModelMetadata,
    responses=LOOKED_UP,
    openapi_extra=ONE_VERSION,
)
async def model_metadata(request: Request) -> Response:
    """Inputs and outputs of a model; a further program of it is a model of its own, `name:program`."""
    offer, context = asked_for(request), context_of(request)
    return json_response(described_model(offer, context.models, context.settings))


@router.get("/v2/models/{model}/ready", response_model=ModelReady, responses=LOOKED_UP, openapi_extra=ONE)
@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    response_model=ModelReady,
    responses=LOOKED_UP,
    openapi_extra=ONE_VERSION,
)
async def model_ready(request: Request) -> Response:
    """200 when the model answers."""
    return json_response({"name": asked_for(request).name, "ready": True})


@router.get(
    "/v2/models/{model}/config",
    response_model=ModelConfig,
    response_model_exclude_none=True,
    responses=LOOKED_UP,
    openapi_extra=ONE,
)
@router.get(
    "/v2/models/{model}/versions/{version}/config",
    response_model=ModelConfig,
    response_model_exclude_none=True,
    responses=LOOKED_UP,
    openapi_extra=ONE_VERSION,
)
async def model_config(request: Request) -> Response:
    """The model in the terms of Triton's configurations."""
    return json_response(described_config(asked_for(request), context_of(request).settings))


@router.post(
    INFER_PATHS[0],
    response_model=InferAnswer,
    responses=documented_plainly(*SOLVE_CODES, binary=True),
    openapi_extra={**INFER, **ONE, "parameters": [*ONE["parameters"], *INFER["parameters"]]},
)
@router.post(
    INFER_PATHS[1],
    response_model=InferAnswer,
    responses=documented_plainly(*SOLVE_CODES, binary=True),
    openapi_extra={**INFER, "parameters": [*ONE_VERSION["parameters"], *INFER["parameters"]]},
)
async def infer(request: Request) -> Response:
    """Solve; the tolerance and all that goes with it stand in `parameters`, what it cost in the answer's."""
    offer, context = asked_for(request), context_of(request)
    signature, settings = Signature(offer), context.settings
    body = await request.body()
    header_length = request.headers.get(HEADER_LENGTH)
    if len(body) > FEW_BYTES:
        ask = await asyncio.to_thread(read_ask, body, header_length, signature, settings.max_items)
    else:
        ask = read_ask(body, header_length, signature, settings.max_items)
    job = Job(context, request, plan_of(context, offer, ask.parameters))
    found, told = await solved_columns(job, ask, signature)
    if len(found["status"]) > LARGE:
        return await asyncio.to_thread(answered, job, offer, ask, found, told)
    return answered(job, offer, ask, found, told)
