"""Thin handlers: parse, submit, await, answer."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from node_model.manifest import TensorSpec
from node_model.status import Status
from service.api import answers
from service.api.answers import Solved
from service.api.bodies import SampleBody, TensorBody
from service.api.context import Context, context_of, record_of
from service.api.errors import ApiError, Code, documented, invalid, json_response
from service.api.parameters import SOLVER, TRACE, Choice, Parameters, Probes, documented_parameters
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
from service.engine.runner import Outcome
from service.engine.solve import Problem
from service.engine.stepper import Array
from service.metrics import CONTENT_TYPE
from service.models import LoadedModel, LoadedProgram, Models, UnknownModelError
from service.record import SolveRecord

router = APIRouter()

Result = TypeVar("Result")

FEW_ITEMS = 200
FEW_BYTES = 200_000
"""Up to here parsing and answering take well under a millisecond and stay on the event loop."""

SOLVE_CODES = (
    Code.INVALID_INPUT,
    Code.SOLVER_FAILED,
    Code.TOO_LARGE,
    Code.UNKNOWN_MODEL,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.BODY_TIMEOUT,
    Code.NOT_READY,
    Code.INTERNAL,
)
PROGRAMS = {"/classify": "classify", "/density": "log_density", "/sample": "sample"}
"""Which program of a model a route runs."""
TENSOR_FIELDS = {"/classify": ("image", "images"), "/density": ("point", "points")}
"""Names of one input and of several in a body."""
HUTCHINSON = "log_density_hutchinson"


def _solve_options(body: type[Any], parameters: dict[str, str]) -> dict[str, Any]:
    """OpenAPI text of a route whose handler reads query and body itself."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {
        "parameters": documented_parameters(parameters),
        "requestBody": {"required": True, "content": content},
    }


@dataclass(frozen=True)
class _Job:
    """A request whose model and tolerances are known."""

    context: Context
    request: Request
    model: LoadedModel
    program: LoadedProgram
    choice: Choice


def _job(request: Request, route: str, parameters: Parameters, program: str) -> _Job:
    context = context_of(request)
    model = parameters.model(context.models, PROGRAMS[route], route)
    record_of(request).model = model.name
    loaded = model.programs.get(program)
    if loaded is None:
        raise invalid("trace", f"{model.name} was exported without {program}; expected trace=exact")
    choice = parameters.choice(loaded.spec, loaded.cost, context.settings.max_nfe)
    return _Job(context, request, model, loaded, choice)


@router.post(
    "/classify",
    response_model=ClassifyAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(ClassifyBody, SOLVER),
)
async def classify(request: Request) -> Response:
    """Classes of images, with what each cost."""
    job = _job(request, "/classify", Parameters(request.query_params.multi_items(), SOLVER), "classify")
    images = await _read_tensors(job, *TENSOR_FIELDS["/classify"])
    outcome = await _solve(job, images)
    labels = job.model.manifest.labels or ()

    def build() -> dict[str, Any]:
        return {"predictions": answers.classifications(Solved.of(job.choice, job.program.cost, outcome), labels)}

    return await _answer(job, outcome, build)


@router.post(
    "/density",
    response_model=DensityAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(DensityBody, SOLVER | TRACE),
)
async def density(request: Request) -> Response:
    """Log-densities of points, in nats and the input's own units."""
    parameters = Parameters(request.query_params.multi_items(), SOLVER | TRACE)
    probes = parameters.probes()
    job = _job(request, "/density", parameters, HUTCHINSON if probes else "log_density")
    points = await _read_tensors(job, *TENSOR_FIELDS["/density"])
    if probes:
        return await _estimated_density(job, points, probes)
    outcome = await _solve(job, points)

    def build() -> dict[str, Any]:
        return {"predictions": answers.densities(Solved.of(job.choice, job.program.cost, outcome))}

    return await _answer(job, outcome, build)


async def _estimated_density(job: _Job, points: Array, probes: Probes) -> Response:
    """Each probe of each point is a row of its own."""
    most = job.context.settings.max_items
    if len(points) * probes.count > most:
        message = f"{len(points)} points with {probes.count} probes are more than {most} items in a request"
        raise ApiError(Code.TOO_LARGE, message, {"limit": most})
    args = await asyncio.to_thread(
        lambda: tuple(draw_items(spec, probes.seed, len(points), probes.count) for spec in job.program.spec.args)
    )
    outcome = await _solve(job, np.repeat(points, probes.count, axis=0), args, rows_per_item=probes.count)

    def build() -> dict[str, Any]:
        solved = Solved.of(job.choice, job.program.cost, outcome, probes.count)
        return {"predictions": answers.estimated_densities(solved, probes.count), "seed": probes.seed}

    return await _answer(job, outcome, build)


@router.post(
    "/sample",
    response_model=SampleAnswer,
    responses=documented(*SOLVE_CODES),
    openapi_extra=_solve_options(SampleSchema, SOLVER),
)
async def sample(request: Request) -> Response:
    """Points drawn from a density. The i-th depends on the seed alone, not on how many are asked for."""
    job = _job(request, "/sample", Parameters(request.query_params.multi_items(), SOLVER), "sample")
    wanted = _sample_body(job.context.settings.max_items).read(await _read_body(request))
    seed = secrets.randbelow(SEED_LIMIT) if wanted.seed is None else wanted.seed
    spec = job.program.spec.input
    draws = await _off_loop(wanted.n > FEW_ITEMS // 10, lambda: draw_items(spec, seed, wanted.n))
    outcome = await _solve(job, draws)

    def build() -> dict[str, Any]:
        solved = Solved.of(job.choice, job.program.cost, outcome)
        return {"samples": answers.samples(solved), "seed": seed, "predictions": solved.items()}

    return await _answer(job, outcome, build)


async def _read_body(request: Request) -> bytes:
    """The body of a JSON request. Errors: ApiError 415, 413, 408."""
    given = request.headers.get("content-type", "application/json")
    if given.partition(";")[0].strip().lower() != "application/json":
        message = f"Content-Type: expected application/json, got {given[:80]!r}"
        raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, {"expected": ["application/json"]})
    return await request.body()


async def _read_tensors(job: _Job, one: str, many: str) -> Array:
    reader = _tensor_body(job.program.spec.input, one, many, job.context.settings.max_items)
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


async def _solve(job: _Job, inputs: Array, args: tuple[Array, ...] = (), rows_per_item: int = 1) -> Outcome:
    """Run the rows on the solver threads and note what they cost."""
    rows, choice = len(inputs), job.choice
    problem = Problem(
        method=choice.method,
        inputs=inputs,
        args=args,
        rtol=np.full(rows, choice.rtol),
        atol=np.full(rows, choice.atol),
        max_nfe=np.full(rows, choice.max_nfe),
        first_dt=np.full(rows, job.program.cost.first_dt(choice.method, min(choice.rtol, choice.atol))),
    )
    outcome = await job.context.runner.run(job.program.stepper, problem, job.program.lanes, partial=choice.partial)
    solution = outcome.solution
    evaluations = int(solution.nfe.sum())
    record_of(job.request).solve = SolveRecord(
        method=choice.method,
        tol=choice.loosest,
        nfe_per_item=evaluations * rows_per_item / rows,
        accepted=int(solution.accepted.sum()),
        rejected=int(solution.rejected.sum()),
        evaluations=evaluations,
    )
    return outcome


async def _answer(job: _Job, outcome: Outcome, build: Callable[[], dict[str, Any]]) -> Response:
    """The answer of a solve, with its headers."""
    record = record_of(job.request)
    manifest = job.model.manifest

    def respond() -> Response:
        content = build()
        total = time.perf_counter() - record.received
        seconds = {"queue": outcome.queue_seconds, "solve": outcome.solve_seconds, "total": total}
        timing = {name: round(1e3 * value, 3) for name, value in seconds.items()}
        headers = {
            "X-NFE": str(int(outcome.solution.nfe.sum())),
            "X-Tol": f"{job.choice.loosest:g}",
            "Server-Timing": ", ".join(f"{name};dur={value}" for name, value in timing.items()),
        }
        answer = {"model": manifest.name, "version": manifest.version, **content, "timing_ms": timing}
        return json_response(answer, headers=headers)

    if job.choice.partial and (outcome.solution.status != Status.OK).any():
        record.status = "partial"
    return await _off_loop(len(outcome.solution.status) > FEW_ITEMS, respond)


async def _off_loop(large: bool, work: Callable[[], Result]) -> Result:
    """Do large work in a thread, so that other requests need not wait for it."""
    return await asyncio.to_thread(work) if large else work()


@router.get("/models", response_model=ModelList, responses=documented(Code.NOT_READY))
async def list_models(request: Request) -> Response:
    """Every model and version."""
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


@router.get("/models/{name}", responses=documented(Code.UNKNOWN_MODEL, Code.INVALID_INPUT, Code.NOT_READY))
async def show_model(request: Request, name: str) -> Response:
    """What a model's artifact says of itself, and which routes it answers with which inputs."""
    models = context_of(request).models
    try:
        model = models.find(name)
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


@router.get("/health/live")
async def live() -> Response:
    """200 while the process runs."""
    return json_response({"status": "live"})


@router.get("/health/ready", responses=documented(Code.NOT_READY))
async def ready(request: Request) -> Response:
    """200 once every model is loaded, checked, warmed and measured."""
    models = context_of(request).models
    return json_response({"status": "ready", "models": [f"{m.name}@{m.manifest.version}" for m in models]})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus exposition."""
    return Response(context_of(request).metrics.text(), media_type=CONTENT_TYPE)
