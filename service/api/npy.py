"""Answers as one array in NumPy's own format, for clients that compute with them."""

from io import BytesIO

import numpy as np
from starlette.responses import Response

from service.api.accept import Form
from service.api.answers import Solved, winners
from service.api.solving import Job, cost_headers, timing
from service.engine.stepper import Array


def array_response(job: Job, array: Array, headers: dict[str, str]) -> Response:
    """The array in C order and little-endian, what it cost in the headers."""
    file = BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    taken = cost_headers(job, timing(job.record))
    return Response(file.getvalue(), headers={**taken, **headers}, media_type=Form.ARRAY.value)


def probabilities(solved: Solved) -> Array:
    """Of /classify. Shapes: -> [item, class], NaN for items that failed."""
    return np.where(solved.ok[:, None], winners(solved.logits)[1], np.nan).astype(solved.outputs[0].dtype)


def first_output(solved: Solved) -> Array:
    """Of every other route. Shapes: -> [item, *output.shape], NaN for items that failed."""
    output = solved.outputs[0]
    return np.where(solved.ok.reshape(-1, *[1] * (output.ndim - 1)), output, np.nan).astype(output.dtype)


def output_at_stops(solved: Solved) -> Array:
    """Of /predict with stops. Shapes: -> [item, stop, *output.shape], NaN at stops that an item did not come to."""
    return solved.outputs[0]
