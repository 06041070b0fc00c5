"""A request's answer in the form that its client prefers: JSON, lines or an array."""

from typing import Any

from starlette.responses import Response

from service.api.accept import EVERY_FORM, Form, form_of
from service.api.asked import Asked, solve_asked
from service.api.ndjson import lines_response
from service.api.npy import array_response
from service.api.solving import Job, answer

NO_ARRAY = (Form.JSON, Form.LINES)


LINES_EXAMPLE = (
    '{"index":1,"status":"ok","solver":{}}\n{"index":0,"status":"max_nfe","solver":{}}\n'
    '{"summary":{"items":2,"statuses":{"ok":1,"max_nfe":1},"nfe":219,"tol":0.01}}\n'
)
SEED = {"X-Seed": {"description": "where something was drawn: gives the same again", "schema": {"type": "integer"}}}


def documented_forms(*forms: Form, drawn: bool = True) -> dict[int | str, dict[str, Any]]:
    """The good answer of a route for OpenAPI, in forms beside JSON. `drawn`: something in it may be drawn."""
    schemas = {
        Form.LINES: {"schema": {"type": "string"}, "example": LINES_EXAMPLE},
        Form.ARRAY: {"schema": {"type": "string", "format": "binary"}},
    }
    return {
        200: {
            "description": "Solved. Accept chooses the form: one document, a line for each item, or one array.",
            "content": {form.value: schemas[form] for form in forms},
            "headers": dict(SEED) if drawn else {},
        }
    }


def wanted_form(job: Job, offers: tuple[Form, ...] = EVERY_FORM) -> Form:
    """What the Accept header prefers."""
    return form_of(job.request.headers.get("accept"), offers)


async def respond(job: Job, asked: Asked) -> Response:
    """Have it solved and answer. Errors: ApiError for what was refused or went wrong."""
    form = wanted_form(job, NO_ARRAY if asked.array is None else EVERY_FORM)
    if form is Form.LINES:
        return lines_response(job, asked)
    solved = await solve_asked(job, asked)
    if form is Form.ARRAY and asked.array is not None:
        return array_response(job, asked.array(solved), asked.headers)
    return answer(job, asked.answer(solved), asked.headers)
