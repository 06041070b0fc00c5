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
from service.api.accept import Form
from service.api.asked import Asked
from service.api.bodies import SampleBody, SampleRequest, TensorBody
from service.api.context import Context, Plan, context_of, record_of
from service.api.errors import ApiError, Code, documented, invalid
from service.api.forms import documented_forms, respond
from service.api.npy import first_output, probabilities
from service.api.parameters import AUTO, SOLVER, TRACE, Parameters, Probes, documented_parameters
from service.api.predict import asked_prediction, predict_body
from service.api.responses import Items
from service.api.schemas import (
    ClassifyAnswer,
    ClassifyBody,
    DensityAnswer,
    DensityBody,
    PredictAnswer,
    PredictBody,
    SampleAnswer,
    TrajectoryAnswer,
)
from service.api.schemas import (
    SampleBody as SampleSchema,
)
from service.api.solving import Job
from service.api.tightened import respond_tightened
from service.api.trajectory import MOST_ITEMS, program_of, watched
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
PROGRAMS = {"/classify": "classify", "/density": "log_density", "/sample": "sample", "/predict": "predict"}
"""Which program of a model a route runs."""
TRAJECTORY = "/trajectory"
"""Runs any of them, as its body says."""
SOLVING = {**{route: (program,) for route, program in PROGRAMS.items()}, TRAJECTORY: tuple(PROGRAMS.values())}
"""Routes that solve, and the programs that each may run."""
TENSOR_FIELDS = {"classify": ("image", "images"), "log_density": ("point", "points")}
"""Names of one input and of several in a body, by program."""
HUTCHINSON = "log_density_hutchinson"
JSON_TYPE = re.compile(r"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE)
IDENTITY = re.compile(r"\s*identity\s*", re.IGNORECASE)


def _solve_options(bodies: tuple[type[Any], ...], parameters: dict[str, str]) -> dict[str, Any]:
    """OpenAPI text of a route whose handler reads query and body itself."""
    schemas = [body.model_json_schema() for body in bodies]
    content = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
    return {
        "parameters": documented_parameters(parameters),
        "requestBody": {"required": True, "content": content},
    }


def _job(request: Request, route: str, known: Mapping[str, str], program: str | None = None) -> Job:
    """Errors: ApiError for a query that is wrong. The same few queries come again and again: each is read once."""
    context = context_of(request)
    models, query = context.models, (program or route, request.scope["query_string"])
    plan = context.plans.get(query)
    if plan is None:
        plan = _plan(request, context, models, known, route, program or PROGRAMS[route])
        if len(context.plans) >= MOST_PLANS:
            context.plans.clear()
        context.plans[query] = plan
    record_of(request).model = plan.model.name
    return Job(context, request, plan)


def _plan(request: Request, context: Context, models: Models, known: Mapping[str, str], route: str, runs: str) -> Plan:
    parameters = Parameters(request.query_params.multi_items(), known)
    probes = parameters.probes()
    model = parameters.model(models, runs, route)
    record_of(request).model = model.name
    name = HUTCHINSON if probes else runs
    program = model.programs.get(name)
    if program is None:
        raise invalid("trace", f"{model.name} was exported without {name}; expected trace=exact")
    settings = context.settings
    wishes = read_wishes(
        parameters,
        program,
        most_nfe=settings.max_nfe,
        most_seconds=settings.max_seconds,
        may_auto=route == "/classify",
    )
    return Plan(model, program, wishes, probes)


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options((ClassifyBody,), SOLVER | AUTO),
)
async def classify(request: Request) -> Response:
    """Classes of images, with what each cost."""
    job = _job(request, "/classify", SOLVER)
    images = await _read_tensors(job, "classify")
    if job.plan.wishes.auto:
        return await respond_tightened(job, images, job.plan.model.manifest.labels or ())
    return await respond(job, _asked_classes(job, images))


@router.post(
    "/density",
    response_model=DensityAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options((DensityBody,), SOLVER | TRACE),
)
async def density(request: Request) -> Response:
    """Log-densities of points, in nats and the input's own units."""
    job = _job(request, "/density", SOLVER | TRACE)
    points = await _read_tensors(job, "log_density")
    if job.plan.probes:
        return await respond(job, await _asked_estimate(job, points, job.plan.probes))
    return await respond(job, _asked_density(points))


def _asked_classes(job: Job, images: Array) -> Asked:
    labels = job.plan.model.manifest.labels or ()
    return Asked(images, lambda solved: answers.classifications(solved, labels), array=probabilities)


def _asked_density(points: Array) -> Asked:
    return Asked(points, answers.densities, array=first_output)


async def _asked_estimate(job: Job, points: Array, probes: Probes) -> Asked:
    """Each probe of each point is a row of its own."""
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    seed = secrets.randbelow(SEED_LIMIT) if probes.seed is None else probes.seed
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, seed, len(points), probes.count) for spec in job.plan.program.spec.args)
    )
    return Asked(
        np.repeat(points, probes.count, axis=0),
        answers.estimated_densities,
        args=args,
        array=first_output,
        extra={"seed": seed},
        rows_per_item=probes.count,
        merged=lambda rows: answers.per_point(rows, probes.count),
    )


@router.post(
    "/sample",
    response_model=SampleAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options((SampleSchema,), SOLVER),
)
async def sample(request: Request) -> Response:
    """Points drawn from a density. The i-th depends on the seed alone, not on how many are asked for."""
    job = _job(request, "/sample", SOLVER)
    wanted = _sample_body(job.context.settings.max_items).read(await _read_body(request))
    return await respond(job, await _asked_sample(job, wanted))


async def _asked_sample(job: Job, wanted: SampleRequest) -> Asked:
    seed = secrets.randbelow(SEED_LIMIT) if wanted.seed is None else wanted.seed
    spec = job.plan.program.spec.input
    draws = await _off_loop(wanted.n > FEW_DRAWS, lambda: draw_items(spec, seed, wanted.n))
    return Asked(draws, answers.drawn, content=_samples, array=first_output, extra={"seed": seed})


def _samples(solved: answers.Solved) -> dict[str, Any]:
    return {
        "samples": Items(len(solved), lambda a, b: answers.samples(solved[a:b])),
        "predictions": Items(len(solved), lambda a, b: solved[a:b].items()),
    }


@router.post(
    "/predict",
    response_model=PredictAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options((PredictBody,), SOLVER),
)
async def predict(request: Request) -> Response:
    """What a model of a user's own makes of its inputs: at the end of its interval, or at the times `t`."""
    job = _job(request, "/predict", SOLVER)
    reader = predict_body(job.plan.program.spec, job.context.settings.max_items)
    body = await _read_body(request)
    wanted = await _off_loop(len(body) > FEW_BYTES, lambda: reader.read(body))
    return await respond(job, await asked_prediction(job, wanted))


@router.post(
    TRAJECTORY,
    response_model=TrajectoryAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES),
    openapi_extra=_solve_options((ClassifyBody, DensityBody, SampleSchema, PredictBody), SOLVER),
)
async def trajectory(request: Request) -> Response:
    """How items are solved: every attempt, and what was found at each time on the way."""
    most = min(MOST_ITEMS, context_of(request).settings.max_items)
    body = await _read_body(request)
    program = program_of(body)
    job = _job(request, TRAJECTORY, SOLVER, program)
    asked = await _asked_of(job, program, body, most)
    return await respond(job, watched(job, asked, program))


async def _asked_of(job: Job, program: str, body: bytes, most: int) -> Asked:
    """What the route of a program would be asked by a body."""
    spec, large = job.plan.program.spec, len(body) > FEW_BYTES
    if program == "sample":
        return await _asked_sample(job, _sample_body(most).read(body))
    if program == "predict":
        reader = predict_body(spec, most)
        return await asked_prediction(job, await _off_loop(large, lambda: reader.read(body)))
    tensors = _tensor_body(spec.input, *TENSOR_FIELDS[program], most)
    inputs = await _off_loop(large, lambda: tensors.read(body))
    return _asked_classes(job, inputs) if program == "classify" else _asked_density(inputs)


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


async def _read_tensors(job: Job, program: str) -> Array:
    reader = _tensor_body(job.plan.program.spec.input, *TENSOR_FIELDS[program], job.context.settings.max_items)
    body = await _read_body(job.request)
    return await _off_loop(len(body) > FEW_BYTES, lambda: reader.read(body))


# Compiling a validator takes a millisecond, so each is made once.
_tensor_body: Callable[[TensorSpec, str, str, int], TensorBody] = lru_cache(maxsize=256)(TensorBody)
_sample_body: Callable[[int], SampleBody] = lru_cache(maxsize=16)(SampleBody)


def prepare_bodies(models: Models, most_items: int) -> None:
    """Compile the validators, so that no first request waits for it."""
    for model in models:
        for name, fields in TENSOR_FIELDS.items():
            if name in model.programs:
                _tensor_body(model.programs[name].spec.input, *fields, most_items)
        if "predict" in model.programs:
            predict_body(model.programs["predict"].spec, most_items)
    _sample_body(most_items)


async def _off_loop(large: bool, work: Callable[[], Result]) -> Result:
    """Do large work in a thread, so that other requests need not wait for it."""
    return await asyncio.to_thread(work) if large else work()
