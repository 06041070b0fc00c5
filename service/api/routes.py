"""Thin handlers: parse, submit, await, answer."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from service.api import answers
from service.api.accept import Form
from service.api.asked import Asked
from service.api.context import Context, Plan, context_of, record_of
from service.api.drawing import asked_estimate, asked_sample
from service.api.errors import Code, documented, invalid
from service.api.forms import documented_forms, respond
from service.api.media import NPY, PICTURES
from service.api.media_docs import body_content
from service.api.npy import first_output, probabilities
from service.api.parameters import AUTO, AUTO_KINDS, HUTCHINSON, SOLVER, TRACE, Parameters, documented_parameters
from service.api.predict import asked_prediction
from service.api.reading import (
    prediction_in,
    read_json,
    read_prediction,
    read_tensors,
    sample_body,
    tensors_in_json,
)
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

MOST_PLANS, LONGEST_PLANNED = 1000, 500
"""Queries that are remembered, and characters of one."""

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


def _solve_options(
    content: dict[str, Any], parameters: dict[str, str], kinds: dict[str, Any] | None = None
) -> dict[str, Any]:
    """OpenAPI text of a route whose handler reads query and body itself."""
    return {
        "parameters": documented_parameters(parameters, kinds),
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
        if len(query[1]) <= LONGEST_PLANNED:
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
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY, drawn=False),
    openapi_extra=_solve_options(body_content(ClassifyBody, others=(NPY, *PICTURES)), SOLVER | AUTO, AUTO_KINDS),
)
async def classify(request: Request) -> Response:
    """Classes of images, with what each cost."""
    job = _job(request, "/classify", SOLVER)
    images = await read_tensors(job, *TENSOR_FIELDS["classify"])
    if job.plan.wishes.auto:
        return await respond_tightened(job, images, job.plan.model.manifest.labels or ())
    return await respond(job, _asked_classes(job, images))


@router.post(
    "/density",
    response_model=DensityAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options(body_content(DensityBody, others=(NPY,)), SOLVER | TRACE),
)
async def density(request: Request) -> Response:
    """Log-densities of points, in nats and the input's own units."""
    job = _job(request, "/density", SOLVER | TRACE)
    points = await read_tensors(job, *TENSOR_FIELDS["log_density"])
    if job.plan.probes:
        return await respond(job, await asked_estimate(job, points, job.plan.probes))
    return await respond(job, _asked_density(points))


def _asked_classes(job: Job, images: Array) -> Asked:
    labels = job.plan.model.manifest.labels or ()
    return Asked(images, lambda solved: answers.classifications(solved, labels), array=probabilities)


def _asked_density(points: Array) -> Asked:
    return Asked(points, answers.densities, array=first_output)


@router.post(
    "/sample",
    response_model=SampleAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options(body_content(SampleSchema), SOLVER),
)
async def sample(request: Request) -> Response:
    """Points drawn from a density. The i-th depends on the seed alone, not on how many are asked for."""
    job = _job(request, "/sample", SOLVER)
    wanted = sample_body(job.context.settings.max_items).read(await read_json(request))
    return await respond(job, await asked_sample(job, wanted.n, wanted.seed))


@router.post(
    "/predict",
    response_model=PredictAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES, Form.ARRAY),
    openapi_extra=_solve_options(body_content(PredictBody, others=(NPY,)), SOLVER),
)
async def predict(request: Request) -> Response:
    """What a model of a user's own makes of its inputs: at the end of its interval, or at the times `t`."""
    job = _job(request, "/predict", SOLVER)
    return await respond(job, await asked_prediction(job, await read_prediction(job)))


@router.post(
    TRAJECTORY,
    response_model=TrajectoryAnswer,
    responses=documented(*SOLVE_CODES) | documented_forms(Form.LINES),
    openapi_extra=_solve_options(body_content(ClassifyBody, DensityBody, SampleSchema, PredictBody), SOLVER),
)
async def trajectory(request: Request) -> Response:
    """How items are solved: every attempt, and what was found at each time on the way."""
    most = min(MOST_ITEMS, context_of(request).settings.max_items)
    body = await read_json(request)
    program = program_of(body)
    job = _job(request, TRAJECTORY, SOLVER, program)
    asked = await _asked_of(job, program, body, most)
    return await respond(job, watched(job, asked, program))


async def _asked_of(job: Job, program: str, body: bytes, most: int) -> Asked:
    """What the route of a program would be asked by a body."""
    if program == "sample":
        wanted = sample_body(most).read(body)
        return await asked_sample(job, wanted.n, wanted.seed)
    if program == "predict":
        return await asked_prediction(job, await prediction_in(job, body, most))
    inputs = await tensors_in_json(job, *TENSOR_FIELDS[program], body, most)
    return _asked_classes(job, inputs) if program == "classify" else _asked_density(inputs)
