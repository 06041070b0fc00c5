"""Triton's repository extension: which artifacts there are, and loading and unloading them."""

import asyncio
from typing import TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from node_model.errors import ArtifactError
from service.api.bodies import validated
from service.api.context import Context, context_of
from service.api.errors import ApiError, Code, invalid
from service.api.parameters import Parameters
from service.api.responses import json_response
from service.api.routes import HandlerRoute
from service.api.swap import serve_models
from service.api.v2.asking import check_values
from service.api.v2.documents import MODEL, closed, documented_plainly, optional_body
from service.api.v2.schemas import Controlled, ControlRequest, IndexEntry, IndexRequest, Value
from service.models import Models, UnknownModelError
from service.repository import give_back_memory
from service.settings import PREFIX

router = APIRouter(route_class=HandlerRoute, tags=["Open Inference Protocol"])

READY, UNAVAILABLE = "READY", "UNAVAILABLE"
DEPENDENTS = "unload_dependents"
MOST_QUOTES = 100

READ_CODES = (
    Code.INVALID_INPUT,
    Code.NOT_FOUND,
    Code.TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.BODY_TIMEOUT,
    Code.NOT_READY,
)
CONTROL = documented_plainly(*READ_CODES, Code.UNKNOWN_MODEL)
LOAD_BODY = optional_body(closed(parameters=closed()), {})
UNLOAD_BODY = optional_body(
    closed(parameters=closed(**{DEPENDENTS: {"type": "boolean"}})), {"parameters": {DEPENDENTS: False}}
)
INDEX_BODY = optional_body(closed(ready={"type": "boolean"}), {"ready": True})

Asked = TypeVar("Asked", bound=BaseModel)
_control: TypeAdapter[ControlRequest] = TypeAdapter(ControlRequest)
_index: TypeAdapter[IndexRequest] = TypeAdapter(IndexRequest)


@router.post(
    "/v2/repository/index",
    response_model=list[IndexEntry],
    responses=documented_plainly(*READ_CODES),
    openapi_extra=INDEX_BODY,
)
async def index(request: Request) -> Response:
    """Every version on disk or served; why one is not served, or not in its newest form."""
    context = _controlled(request)
    asked = await _read(request, _index)
    entries = await asyncio.to_thread(context.repository.index, context.models)
    return json_response(
        [
            {
                "name": entry.name,
                "version": entry.version,
                "state": READY if entry.ready else UNAVAILABLE,
                "reason": entry.reason,
            }
            for entry in entries
            if entry.ready or not asked.ready
        ]
    )


@router.post(
    "/v2/repository/models/{model}/load",
    response_model=Controlled,
    responses=CONTROL,
    openapi_extra={**LOAD_BODY, "parameters": [MODEL]},
)
async def load(request: Request) -> Response:
    """Load a model as it lies on disk, every version of it (`name@version`: that one), and serve it from then on.

    What runs with the one before ends with it. If anything is wrong with the artifact nothing changes.
    """
    context, name = _controlled(request), request.path_params["model"]
    for parameter in await _parameters(request):
        raise invalid(f"parameters.{parameter[:80]}", "not taken; an artifact on disk says everything itself")
    loop, load_model = asyncio.get_running_loop(), context.repository.load
    async with context.control:
        try:
            models = await loop.run_in_executor(context.loader, load_model, context.models, name)
        except UnknownModelError as error:
            raise ApiError(Code.UNKNOWN_MODEL, str(error)) from error
        except ArtifactError as error:
            raise ApiError(Code.INVALID_INPUT, str(error)) from error
        serve_models(context, models)
        await loop.run_in_executor(context.loader, give_back_memory)
    return _now(models, name)


@router.post(
    "/v2/repository/models/{model}/unload",
    response_model=Controlled,
    responses=CONTROL,
    openapi_extra={**UNLOAD_BODY, "parameters": [MODEL]},
)
async def unload(request: Request) -> Response:
    """Serve a model (`name@version`: one version of it) no more. What runs with it ends as it would have."""
    context, name = _controlled(request), request.path_params["model"]
    for parameter, value in (await _parameters(request)).items():
        if parameter != DEPENDENTS or not isinstance(value, bool):
            raise invalid(f"parameters.{parameter[:80]}", f"expected {DEPENDENTS}, a boolean, or nothing")
    async with context.control:
        try:
            models = context.repository.unload(context.models, name)
        except UnknownModelError as error:
            raise ApiError(Code.UNKNOWN_MODEL, str(error)) from error
        serve_models(context, models)
        await asyncio.get_running_loop().run_in_executor(context.loader, give_back_memory)
    return _now(models, name)


def _controlled(request: Request) -> Context:
    """Errors: ApiError 404 where nobody may change the models, 503 while there are none."""
    Parameters(request.query_params.multi_items(), ())
    context = context_of(request)
    if context.settings.model_control != "explicit":
        message = f"models are not controlled by requests here; start the server with {PREFIX}MODEL_CONTROL=explicit"
        raise ApiError(Code.NOT_FOUND, message)
    _ = context.models
    return context


async def _read(request: Request, adapter: TypeAdapter[Asked]) -> Asked:
    """A body that need not be there. Errors: ApiError."""
    body = await request.body()
    if body.count(b'"') > MOST_QUOTES:
        raise invalid("body", "more names than any request has")
    asked: Asked = validated(adapter, body or b"{}")
    return asked


async def _parameters(request: Request) -> dict[str, Value]:
    parameters = (await _read(request, _control)).parameters
    check_values(parameters)
    return parameters


def _now(models: Models, name: str) -> Response:
    name = name.partition("@")[0]
    return json_response({"name": name, "versions": models.versions(name)})
