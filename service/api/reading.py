"""Request bodies, whatever their media type: bytes in, the rows of a model's input out."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from node_model.manifest import TensorSpec
from service.api.bodies import SampleBody, TensorBody
from service.api.errors import ApiError
from service.api.media import ARRAYS, FORM, JSON, NPY, PICTURES, boundary_of, media_type, unsupported
from service.api.multipart import files_of
from service.api.npy_body import read_npy
from service.api.pictures.batch import off_loop as off_loop_with_pictures
from service.api.pictures.batch import prepared
from service.api.pictures.body import PictureBody
from service.api.predict import PredictRequest, predict_body
from service.api.solving import Job
from service.engine.stepper import Array
from service.models import Models

Result = TypeVar("Result")

PREDICT = "predict"
FEW_BYTES = 200_000
"""Up to here parsing takes well under a millisecond and stays on the event loop."""


async def read_tensors(job: Job, one: str, many: str) -> Array:
    """One input or several of the job's program, as arrays or pictures. `one` and `many` are their names in JSON.

    Shapes: -> [item, *input.shape].
    Errors: ApiError 415 naming the types that are read, 413, 408, 422 naming the place and what was expected.
    """
    spec, most = job.plan.program.spec.input, job.context.settings.max_items
    header = job.request.headers.get("Content-Type", JSON)
    kind = media_type(header)
    if kind not in ARRAYS and (spec.picture is None or kind not in PICTURES):
        raise _not_read(job, header, kind)
    body = await _received(job.request)
    if kind == JSON:
        return await tensors_in_json(job, one, many, body, most)
    if kind == NPY:
        return await off_loop(len(body) > FEW_BYTES, lambda: read_npy(body, spec, one, many, most))
    pictures = [("picture", body)]
    if kind == FORM:
        pictures = await off_loop_with_pictures(lambda: files_of(body, boundary_of(header), most))
    return await prepared(pictures, spec, job.context.settings.max_pixels)


async def read_prediction(job: Job) -> PredictRequest:
    """What a body asks of a user's own program. Errors: ApiError 415, 413, 408, 422."""
    header = job.request.headers.get("Content-Type", JSON)
    kind = media_type(header)
    if kind not in ARRAYS:
        raise unsupported(header, ARRAYS)
    body = await _received(job.request)
    return await prediction_in(job, body, job.context.settings.max_items, kind)


async def prediction_in(job: Job, body: bytes, most: int, kind: str = JSON) -> PredictRequest:
    """The same of a body that has been received, for at most so many items. Errors: ApiError 413, 422."""
    reader = predict_body(job.plan.program.spec, most)
    read = reader.read_array if kind == NPY else reader.read
    return await off_loop(len(body) > FEW_BYTES, lambda: read(body))


async def tensors_in_json(job: Job, one: str, many: str, body: bytes, most: int) -> Array:
    """What a JSON body says of them, at most so many. Shapes: -> [item, *input.shape]. Errors: ApiError 413, 422."""
    spec = job.plan.program.spec.input
    # Arrays have one object around them, pictures one each. What is neither is told how an array would look.
    if spec.picture is None or body.count(b"{") < 2 or (b'"b64"' not in body and b"[" in body):
        reader = _tensor_body(spec, one, many, most)
        return await off_loop(len(body) > FEW_BYTES, lambda: reader.read(body))
    pictures = await off_loop_with_pictures(lambda: _picture_body(one, many, most).read(body))
    return await prepared(pictures, spec, job.context.settings.max_pixels)


def _not_read(job: Job, header: str, kind: str) -> ApiError:
    if job.plan.program.spec.input.picture is not None:
        return unsupported(header, (*ARRAYS, *PICTURES))
    model = job.plan.model.name
    reason = f"; {model} does not say how a picture becomes its input" if kind in PICTURES else ""
    return unsupported(header, ARRAYS, reason)


async def read_json(request: Request) -> bytes:
    """The body of a request that can only be JSON. Errors: ApiError 415, 413, 408."""
    header = request.headers.get("Content-Type", JSON)
    if media_type(header) != JSON:
        raise unsupported(header, (JSON,))
    return await _received(request)


async def _received(request: Request) -> bytes:
    """The bytes of a body, without the generator that Starlette's own way goes through.

    Errors: ApiError 413, 408; ClientDisconnect.
    """
    parts = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


# Compiling a validator takes a millisecond, so each is made once.
_tensor_body: Callable[[TensorSpec, str, str, int], TensorBody] = lru_cache(maxsize=256)(TensorBody)
_picture_body: Callable[[str, str, int], PictureBody] = lru_cache(maxsize=16)(PictureBody)
sample_body: Callable[[int], SampleBody] = lru_cache(maxsize=16)(SampleBody)


def prepare_bodies(models: Models, fields: Mapping[str, tuple[str, str]], limits: Iterable[int]) -> None:
    """Compile the validators, so that no first request waits for it.

    `fields`: what inputs of a program are called. `limits`: how many items routes take.
    """
    for most in limits:
        for model in models:
            for program, (one, many) in fields.items():
                served = model.programs.get(program)
                if served:
                    _tensor_body(served.spec.input, one, many, most)
                    if served.spec.input.picture:
                        _picture_body(one, many, most)
            if PREDICT in model.programs:
                predict_body(model.programs[PREDICT].spec, most)
        sample_body(most)


async def off_loop(large: bool, work: Callable[[], Result]) -> Result:
    """Do large work in a thread, so that other requests need not wait for it."""
    return await asyncio.to_thread(work) if large else work()
