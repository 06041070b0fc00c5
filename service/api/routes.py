"""Thin handlers: parse, submit, await, answer."""

import asyncio
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from node_model.manifest import TensorSpec
from service.api import answers
from service.api.bodies import SampleBody, TensorBody
from service.api.context import Context, Plan, context_of, record_of
from service.api.errors import ApiError, Code, documented, invalid
from service.api.examples import SCHEMAS as EXAMPLES
from service.api.parameters import AUTO, AUTO_KINDS, SOLVER, TRACE, Parameters, Probes, documented_parameters
from service.api.responses import Items
from service.api.schemas import (
    ClassifyAnswer,
    ClassifyBody,
    DensityAnswer,
    DensityBody,
    SampleAnswer,
)
from service.api.schemas import (
    SampleBody as SampleSchema,
)
from service.api.solving import Job, answer, solve
from service.api.tightening import tighten, tightened_classifications
from service.api.wishes import read_wishes
from service.engine.draws import SEED_LIMIT, draw_items
from service.engine.stepper import Array
from service.models import Models


class HandlerRoute(APIRoute):
    """A route whose handler takes the request and reads it itself; FastAPI's part is the OpenAPI text.

    FastAPI's own reading of parameters and bodies costs more than a small solve's answer.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


router = APIRouter(route_class=HandlerRoute)

Result = TypeVar("Result")

MOST_PLANS = 1000
FEW_DRAWS = 20
FEW_BYTES = 200_000
"""Up to here drawing and parsing take well under a millisecond and stay on the event loop."""

SOLVE_CODES = (
    Code.INVALID_INPUT,
    Code.SOLVER_FAILED,
    Code.TOO_LARGE,
    Code.UNKNOWN_MODEL,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.BODY_TIMEOUT,
    Code.QUEUE_FULL,
    Code.NOT_READY,
    Code.DEADLINE,
    Code.INTERNAL,
)
PROGRAMS = {"/classify": "classify", "/density": "log_density", "/sample": "sample"}
"""Which program of a model a route runs."""
TENSOR_FIELDS = {"/classify": ("image", "images"), "/density": ("point", "points")}
"""Names of one input and of several in a body."""
HUTCHINSON = "log_density_hutchinson"
JSON_TYPE = re.compile(r"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE)


def _solve_options(body: type[Any], parameters: dict[str, str], kinds: dict[str, Any] | None = None) -> dict[str, Any]:
    """OpenAPI text of a route whose handler reads query and body itself."""
    schema = body.model_json_schema() | {"examples": [EXAMPLES[body.__name__]]}
    content = {"application/json": {"schema": schema}}
    return {
        "parameters": documented_parameters(parameters, kinds),
        "requestBody": {"required": True, "content": content},
    }


def _job(request: Request, route: str, known: Mapping[str, str]) -> Job:
    """Errors: ApiError for a query that is wrong. The same few queries come again and again: each is read once."""
    context = context_of(request)
    models, query = context.models, (route, request.scope["query_string"])
    plan = context.plans.get(query)
    if plan is None:
        plan = _plan(request, context, models, known, route)
        if len(context.plans) >= MOST_PLANS:
            context.plans.clear()
        context.plans[query] = plan
    record_of(request).model = plan.model.name
    return Job(context, request, plan)


def _plan(request: Request, context: Context, models: Models, known: Mapping[str, str], route: str) -> Plan:
    parameters = Parameters(request.query_params.multi_items(), known)
    probes = parameters.probes()
    model = parameters.model(models, PROGRAMS[route], route)
    record_of(request).model = model.name
    name = HUTCHINSON if probes else PROGRAMS[route]
    program = model.programs.get(name)
    if program is None:
        raise invalid("trace", f"{model.name} was exported without {name}; expected trace=exact")
    settings = context.settings
    wishes = read_wishes(
        parameters,
        program,
        most_nfe=settings.max_nfe,
        most_seconds=settings.max_seconds,
        may_auto=model.manifest.task == "classify",
    )
    return Plan(model, program, wishes, probes)


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(ClassifyBody, SOLVER | AUTO, AUTO_KINDS),
)
async def classify(request: Request) -> Response:
    """Classes of images, with what each cost."""
    job = _job(request, "/classify", SOLVER)
    images = await _read_tensors(job, *TENSOR_FIELDS["/classify"])
    labels = job.plan.model.manifest.labels or ()
    if job.plan.wishes.auto:
        tries = await tighten(job, images)
        predictions = Items(len(images), lambda a, b: tightened_classifications(tries, labels, a, b))
    else:
        solved = await solve(job, images)
        predictions = Items(len(images), lambda a, b: answers.classifications(solved[a:b], labels))
    return answer(job, {"predictions": predictions})


@router.post(
    "/density",
    response_model=DensityAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(DensityBody, SOLVER | TRACE),
)
async def density(request: Request) -> Response:
    """Log-densities of points, in nats and the input's own units."""
    job = _job(request, "/density", SOLVER | TRACE)
    points = await _read_tensors(job, *TENSOR_FIELDS["/density"])
    if job.plan.probes:
        return await _estimated_density(job, points, job.plan.probes)
    solved = await solve(job, points)
    return answer(job, {"predictions": Items(len(solved), lambda a, b: answers.densities(solved[a:b]))})


async def _estimated_density(job: Job, points: Array, probes: Probes) -> Response:
    """Each probe of each point is a row of its own."""
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    seed = secrets.randbelow(SEED_LIMIT) if probes.seed is None else probes.seed
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, seed, len(points), probes.count) for spec in job.plan.program.spec.args)
    )
    rows = await solve(job, np.repeat(points, probes.count, axis=0), args, rows_per_item=probes.count)
    solved = answers.per_point(rows, probes.count)
    predictions = Items(len(solved), lambda a, b: answers.estimated_densities(solved[a:b]))
    return answer(job, {"predictions": predictions, "seed": seed})


@router.post(
    "/sample",
    response_model=SampleAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(SampleSchema, SOLVER),
)
async def sample(request: Request) -> Response:
    """Points drawn from a density. The i-th depends on the seed alone, not on how many are asked for."""
    job = _job(request, "/sample", SOLVER)
    wanted = _sample_body(job.context.settings.max_items).read(await _read_body(request))
    seed = secrets.randbelow(SEED_LIMIT) if wanted.seed is None else wanted.seed
    spec = job.plan.program.spec.input
    draws = await _off_loop(wanted.n > FEW_DRAWS, lambda: draw_items(spec, seed, wanted.n))
    solved = await solve(job, draws)
    points = Items(len(solved), lambda a, b: answers.samples(solved[a:b]))
    return answer(
        job, {"samples": points, "seed": seed, "predictions": Items(len(solved), lambda a, b: solved[a:b].items())}
    )


async def _read_body(request: Request) -> bytes:
    """The body of a JSON request. Errors: ApiError 415, 413, 408."""
    expected = "application/json"
    given = request.headers.get("Content-Type", expected)
    if not JSON_TYPE.fullmatch(given):
        message = f"Content-Type: expected {expected}, got {given[:80]!r}"
        raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, {"expected": [expected]})
    return await _received(request)


async def _received(request: Request) -> bytes:
    """The bytes of a body, without the generator that Starlette's own way goes through.

    Errors: ClientDisconnect.
    """
    parts = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _read_tensors(job: Job, one: str, many: str) -> Array:
    reader = _tensor_body(job.plan.program.spec.input, one, many, job.context.settings.max_items)
    body = await _read_body(job.request)
    return await _off_loop(len(body) > FEW_BYTES, lambda: reader.read(body))


# Compiling a validator takes a millisecond, so each is made once.
_tensor_body: Callable[[TensorSpec, str, str, int], TensorBody] = lru_cache(maxsize=256)(TensorBody)
_sample_body: Callable[[int], SampleBody] = lru_cache(maxsize=16)(SampleBody)


def prepare_bodies(models: Models, most_items: int) -> None:
    """Compile the validators, so that no first request waits for it."""
    for model in models:
        for route, (one, many) in TENSOR_FIELDS.items():
            program = model.programs.get(PROGRAMS[route])
            if program:
                _tensor_body(program.spec.input, one, many, most_items)
    _sample_body(most_items)


async def _off_loop(large: bool, work: Callable[[], Result]) -> Result:
    """Do large work in a thread, so that other requests need not wait for it."""
    return await asyncio.to_thread(work) if large else work()
