"""Thin handlers: parse, submit, await, answer."""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from node_model.manifest import TensorSpec
from service.api import answers
from service.api.answers import Solved, failure_of
from service.api.bodies import SampleBody, TensorBody
from service.api.context import Context, Plan, context_of, record_of
from service.api.errors import ApiError, Code, documented, invalid
from service.api.middleware import CancelledWhenLeft
from service.api.parameters import SOLVER, TRACE, Parameters, Probes, documented_parameters
from service.api.responses import Items, answer_response, json_response
from service.api.schemas import (
    ClassifyAnswer,
    ClassifyBody,
    DensityAnswer,
    DensityBody,
    ModelList,
    SampleAnswer,
)
from service.api.schemas import (
    SampleBody as SampleSchema,
)
from service.engine.draws import SEED_LIMIT, draw_items
from service.engine.request import Problem, QueueFullError
from service.engine.stepper import Array
from service.metrics import CONTENT_TYPE
from service.models import Models, UnknownModelError
from service.record import RequestRecord, SolveRecord


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
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
HUTCHINSON = "log_density_hutchinson"
JSON_TYPE = re.compile(r"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE)
IDENTITY = re.compile(r"\s*identity\s*", re.IGNORECASE)


def _solve_options(body: type[Any], parameters: dict[str, str]) -> dict[str, Any]:
    """OpenAPI text of a route whose handler reads query and body itself."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {
        "parameters": documented_parameters(parameters),
        "requestBody": {"required": True, "content": content},
    }


@dataclass(frozen=True)
class _Job:
    """A request whose query has been read."""

    context: Context
    request: Request
    plan: Plan


def _job(request: Request, route: str, known: Mapping[str, str]) -> _Job:
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
    return _Job(context, request, plan)


def _plan(request: Request, context: Context, models: Models, known: Mapping[str, str], route: str) -> Plan:
    parameters = Parameters(request.query_params.multi_items(), known)
    probes = parameters.probes()
    model = parameters.model(models, PROGRAMS[route], route)
    record_of(request).model = model.name
    name = HUTCHINSON if probes else PROGRAMS[route]
    program = model.programs.get(name)
    if program is None:
        raise invalid("trace", f"{model.name} was exported without {name}; expected trace=exact")
    return Plan(model, program, parameters.choice(program.spec, program.cost, context.settings.max_nfe), probes)


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(ClassifyBody, SOLVER),
)
async def classify(request: Request) -> Response:
    """Classes of images, with what each cost."""
    job = _job(request, "/classify", SOLVER)
    images = await _read_tensors(job, *TENSOR_FIELDS["/classify"])
    solved = await _solve(job, images)
    labels = job.plan.model.manifest.labels or ()
    return _answer(job, {"predictions": Items(len(solved), lambda a, b: answers.classifications(solved[a:b], labels))})


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
    solved = await _solve(job, points)
    return _answer(job, {"predictions": Items(len(solved), lambda a, b: answers.densities(solved[a:b]))})


async def _estimated_density(job: _Job, points: Array, probes: Probes) -> Response:
    """Each probe of each point is a row of its own."""
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    seed = secrets.randbelow(SEED_LIMIT) if probes.seed is None else probes.seed
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, seed, len(points), probes.count) for spec in job.plan.program.spec.args)
    )
    rows = await _solve(job, np.repeat(points, probes.count, axis=0), args, rows_per_item=probes.count)
    solved = answers.per_point(rows, probes.count)
    predictions = Items(len(solved), lambda a, b: answers.estimated_densities(solved[a:b]))
    return _answer(job, {"predictions": predictions, "seed": seed})


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
    solved = await _solve(job, draws)
    points = Items(len(solved), lambda a, b: answers.samples(solved[a:b]))
    return _answer(
        job, {"samples": points, "seed": seed, "predictions": Items(len(solved), lambda a, b: solved[a:b].items())}
    )


async def _read_body(request: Request) -> bytes:
    """The body of a JSON request. Errors: ApiError 415, 413, 408."""
    for name, expected, pattern in (
        ("Content-Type", "application/json", JSON_TYPE),
        ("Content-Encoding", "identity", IDENTITY),
    ):
        given = request.headers.get(name, expected)
        if not pattern.fullmatch(given):
            message = f"{name}: expected {expected}, got {given[:80]!r}"
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


async def _read_tensors(job: _Job, one: str, many: str) -> Array:
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


async def _solve(job: _Job, inputs: Array, args: tuple[Array, ...] = (), rows_per_item: int = 1) -> Solved:
    """Have the engine solve the rows, note what they cost, and raise what went wrong."""
    choice, program, record, context = job.plan.choice, job.plan.program, record_of(job.request), job.context
    problem = Problem(
        program=program,
        method=choice.method,
        inputs=inputs,
        args=args,
        rtol=choice.rtol,
        atol=choice.atol,
        max_nfe=choice.max_nfe,
        first_dt=program.cost.first_dt(choice.method, min(choice.rtol, choice.atol)),
        partial=choice.partial,
    )
    deadline = record.received + context.settings.max_seconds
    try:
        async with CancelledWhenLeft(job.request):
            request = await context.runner.solve(problem, received=record.received, deadline=deadline)
    except QueueFullError as error:
        seconds = math.ceil(error.retry_after)
        details = {"waiting_seconds": round(error.waiting, 3), "retry_after_seconds": seconds}
        raise ApiError(Code.QUEUE_FULL, str(error), details, {"Retry-After": str(max(1, seconds))}) from error
    nfe = int(request.solution.nfe.sum())
    record.solve = SolveRecord(
        tol=choice.loosest,
        nfe=nfe,
        nfe_per_item=nfe * rows_per_item / len(problem),
        queue_seconds=request.queue_seconds,
        solve_seconds=request.solve_seconds,
    )
    failure = failure_of(request, rows_per_item)
    if failure:
        failure.headers |= _cost_headers(job, _timing(record))
        raise failure
    solved = Solved.of(choice, request)
    if not solved.ok.all():
        record.status = "partial"
    return solved


def _answer(job: _Job, content: dict[str, Any]) -> Response:
    """The answer of a solve, with its headers."""
    record, manifest = record_of(job.request), job.plan.model.manifest
    timing = _timing(record)
    answer = {"model": manifest.name, "version": manifest.version, **content, "timing_ms": timing}
    return answer_response(answer, _cost_headers(job, timing))


def _timing(record: RequestRecord) -> dict[str, float]:
    """Milliseconds of a solve."""
    assert record.solve is not None  # noqa: S101 - it was solved
    total = time.perf_counter() - record.received
    seconds = {"queue": record.solve.queue_seconds, "solve": record.solve.solve_seconds, "total": total}
    return {name: round(1e3 * value, 3) for name, value in seconds.items()}


def _cost_headers(job: _Job, timing: dict[str, float]) -> dict[str, str]:
    """What a solve cost, for those who do not read bodies."""
    solve = record_of(job.request).solve
    assert solve is not None  # noqa: S101 - it was solved
    return {
        "X-NFE": str(solve.nfe),
        "X-Tol": f"{job.plan.choice.loosest:g}",
        "Server-Timing": ", ".join(f"{name};dur={value}" for name, value in timing.items()),
    }


async def _off_loop(large: bool, work: Callable[[], Result]) -> Result:
    """Do large work in a thread, so that other requests need not wait for it."""
    return await asyncio.to_thread(work) if large else work()


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
    "/models/{name}",
    openapi_extra={"parameters": [NAME]},
    responses=documented(Code.UNKNOWN_MODEL, Code.INVALID_INPUT, Code.NOT_READY),
)
async def show_model(request: Request) -> Response:
    """What a model's artifact says of itself, and which routes it answers with which inputs."""
    Parameters(request.query_params.multi_items(), ())
    models = context_of(request).models
    try:
        model = models.find(request.path_params["name"])
    except UnknownModelError as error:
        raise ApiError(Code.UNKNOWN_MODEL, str(error), {"known": models.names}) from error
    record_of(request).model = model.name
    manifest = model.manifest.model_dump(mode="json", exclude={"sha256": True, "provenance": {"data_sha256"}})
    signature = {
        route: {
            "program": program,
            "input": manifest["programs"][program]["input"],
            "outputs": manifest["programs"][program]["outputs"],
            "methods": list(manifest["programs"][program]["methods"]),
            "tol": manifest["programs"][program]["tol"],
        }
        for route, program in PROGRAMS.items()
        if program in model.programs
    }
    return json_response({**manifest, "signature": signature})


@router.get("/health/live", responses=documented(Code.NOT_READY))
async def live(request: Request) -> Response:
    """200 while every shard of the engine turns; 503 when one has hung for 10 s."""
    if not context_of(request).runner.alive:
        raise ApiError(Code.NOT_READY, "a shard of the engine hangs; restart the server", {"state": "hung"})
    return json_response({"status": "live"})


@router.get("/health/ready", responses=documented(Code.NOT_READY))
async def ready(request: Request) -> Response:
    """200 once every model is loaded, checked, warmed and timed, until the server begins to stop."""
    models = context_of(request).models
    return json_response({"status": "ready", "models": [f"{m.name}@{m.manifest.version}" for m in models]})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus exposition."""
    context = context_of(request)
    return Response(context.metrics.text(context.runner.state), media_type=CONTENT_TYPE)
