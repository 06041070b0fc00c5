"""An inference request solved and answered: the same plans and solves as the other routes', in the protocol's terms."""

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import Response

from service.api.answers import Solved
from service.api.asked import solve_asked
from service.api.context import Context, Plan
from service.api.drawing import asked_estimate, asked_sample
from service.api.errors import ApiError, invalid
from service.api.parameters import LEAST_DEADLINE_MS, SOLVER, TRACE, Parameters
from service.api.predict import PredictRequest, asked_prediction
from service.api.responses import json_bytes
from service.api.solving import Job, cost_headers, timing
from service.api.tightening import tighten
from service.api.v2.asking import BINARY_SIZE, HEADER_LENGTH, IGNORED, Ask
from service.api.v2.columns import Columns, columns, tightened_columns
from service.api.v2.offers import Offer
from service.api.v2.schemas import Value
from service.api.v2.signature import Signature
from service.api.v2.tensors import wire_bytes, wire_list
from service.api.wishes import read_wishes

TIMEOUT = "timeout"
DEADLINE = "deadline_ms"
KNOWN = tuple(name for name in SOLVER if name != "model")
ESTIMATE = tuple(name for name in TRACE if name != "trace")
DRAWN = ("seed",)


def plan_of(context: Context, offer: Offer, asked: Mapping[str, Value]) -> Plan:
    """What the parameters of a request ask for. Errors: ApiError 422 naming the parameter."""
    program, signature, settings = offer.program, Signature(offer), context.settings
    further = ESTIMATE if signature.estimated else DRAWN if signature.seeded else ()
    pairs = list(_texts(asked, settings.max_seconds))
    try:
        parameters = Parameters(pairs, (*KNOWN, *further))
        wishes = read_wishes(
            parameters,
            program,
            most_nfe=settings.max_nfe,
            most_seconds=settings.max_seconds,
            may_auto=offer.model.manifest.task == "classify",
        )
        if signature.estimated:
            return Plan(offer.model, program, wishes, probes=parameters.drawn_probes())
        return Plan(offer.model, program, wishes, seed=parameters.seed())
    except ApiError as error:
        raise ApiError(error.code, f"parameters.{error.message}", error.details, error.headers) from None


def _texts(asked: Mapping[str, Value], most_seconds: float) -> Iterator[tuple[str, str]]:
    """Parameters as a query would have them."""
    for name, value in asked.items():
        if name in IGNORED:
            continue
        if name != TIMEOUT:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
            continue
        if type(value) is not int or value < 0:
            raise invalid(f"parameters.{TIMEOUT}", f"expected a number of microseconds, got {value!r:.80}")
        if DEADLINE in asked:
            raise invalid(f"parameters.{TIMEOUT}", f"not with {DEADLINE}, which says the same")
        if value:  # 0 is the protocol's way to say none
            yield DEADLINE, f"{max(LEAST_DEADLINE_MS, min(value / 1e3, 1e3 * most_seconds)):.3f}"


async def solved_columns(job: Job, ask: Ask, signature: Signature) -> tuple[Columns, dict[str, Any]]:
    """The outputs, and what is to be said of the solve. Errors: ApiError for what was refused or went wrong."""
    if job.plan.wishes.auto:
        tries = await tighten(job, ask.rows[0])
        told = {"method": ",".join(dict.fromkeys(tried.solved.method for tried in tries)), "tries": len(tries)}
        return tightened_columns(signature, tries), told
    if not signature.drawn and not job.plan.probes:
        given = iter(ask.rows[1:])
        args = tuple(next(given) if arg.draw is None else None for arg in signature.spec.args)
        asked = await asked_prediction(job, PredictRequest(ask.rows[0], args, stops=None, seed=job.plan.seed))
    elif job.plan.probes:
        asked = await asked_estimate(job, ask.rows[0], job.plan.probes)
    else:
        asked = await asked_sample(job, ask.n, ask.seed)
    solved = await solve_asked(job, asked)
    return columns(signature, solved), _told(solved) | asked.extra


def _told(solved: Solved) -> dict[str, Any]:
    told: dict[str, Any] = {"method": solved.method, "rtol": solved.rtol, "atol": solved.atol}
    error = solved.cost.error_p99(solved.method, solved.loosest)
    if error is not None:
        told |= {"calibrated_error_p99": error, "calibrated_error_unit": solved.cost.unit}
    return told


def answered(job: Job, offer: Offer, ask: Ask, found: Columns, told: Mapping[str, Any]) -> Response:
    """The answer, its tensors as JSON or as bytes behind it."""
    record = job.record
    solve_record = record.solve
    assert solve_record is not None  # noqa: S101 - it was solved
    taken = timing(record)
    parameters = {"status": record.status, "nfe": solve_record.nfe, "tol": solve_record.tol, **told}
    parameters |= {f"{name}_ms": value for name, value in taken.items()}
    outputs, blobs = [], []
    for wanted in ask.outputs:
        tensor, values = wanted.tensor, found[wanted.tensor.name]
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(values.shape)}
        if wanted.binary:
            blobs.append(wire_bytes(tensor.datatype, values))
            output["parameters"] = {BINARY_SIZE: len(blobs[-1])}
        else:
            output["data"] = wire_list(tensor.datatype, values)
        outputs.append(output)
    content: dict[str, Any] = {"model_name": offer.name, "model_version": offer.model.manifest.version}
    if ask.id is not None:
        content["id"] = ask.id
    header = json_bytes({**content, "parameters": parameters, "outputs": outputs})
    headers = cost_headers(job, taken)
    if not blobs:
        return Response(header, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(len(header))
    return Response(b"".join((header, *blobs)), headers=headers, media_type="application/octet-stream")
