"""A request's answer in the form that its client prefers: JSON, lines or an array."""

from starlette.responses import Response

from service.api.accept import EVERY_FORM, Form, form_of
from service.api.asked import Asked
from service.api.ndjson import lines_response
from service.api.npy import array_response
from service.api.solving import Job, answer, solve_problems

NO_ARRAY = (Form.JSON, Form.LINES)


def wanted_form(job: Job, offers: tuple[Form, ...] = EVERY_FORM) -> Form:
    """What the Accept header prefers."""
    return form_of(job.request.headers.get("accept"), offers)


async def respond(job: Job, asked: Asked) -> Response:
    """Have it solved and answer. Errors: ApiError for what was refused or went wrong."""
    form = wanted_form(job, NO_ARRAY if asked.array is None else EVERY_FORM)
    if form is Form.LINES:
        return lines_response(job, asked)
    problems = asked.problems(job, job.plan.wishes.partial)
    solved = asked.items_of(await solve_problems(job, problems, asked.rows_per_item))
    if form is Form.ARRAY and asked.array is not None:
        return array_response(job, asked.array(solved), asked.headers)
    return answer(job, asked.answer(solved), asked.headers)
