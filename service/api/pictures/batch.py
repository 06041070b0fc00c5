"""Pictures of a request: their sizes checked, then decoded and prepared, in a few threads beside the event loop."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from node_model.manifest import TensorSpec
from service.api.errors import ApiError, Code, invalid
from service.api.pictures.container import Container, inspect
from service.api.pictures.decode import grey_of
from service.api.pictures.errors import PictureError
from service.api.pictures.prepare import prepare
from service.engine.stepper import Array

Pictures = list[tuple[str, bytes]]
"""Files, each under the name that an error gives it."""
Result = TypeVar("Result")

THREADS = 2
TOGETHER = 4
"""All pictures of a request may have so many times the pixels that one may have."""
TURN_FILES, TURN_PIXELS = 32, 2_000_000
"""After so many others get their turn."""

_threads = ThreadPoolExecutor(THREADS, "picture")


async def off_loop(work: Callable[[], Result]) -> Result:
    """Do what takes long and concerns pictures in the threads kept for them, so that they cannot crowd out the rest."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


async def prepared(pictures: Pictures, spec: TensorSpec, most_pixels: int) -> Array:
    """Inputs of a model that takes pictures. Sizes are checked before anything is decoded.

    Shapes: -> [picture, *spec.shape].
    Errors: ApiError 422 naming the picture and what is wrong with it, 413 when it is too large.
    """
    containers = await off_loop(lambda: _inspected(pictures, most_pixels))
    rows = np.empty((len(pictures), *spec.shape), spec.dtype)
    for turn in _turns(containers):
        await off_loop(lambda turn=turn: _fill(rows, turn, pictures, containers, spec))  # type: ignore[misc]
    return rows


def _inspected(pictures: Pictures, most_pixels: int) -> list[Container]:
    found, total = [], 0
    for name, data in pictures:
        try:
            container = inspect(data)
        except PictureError as error:
            raise invalid(name, str(error)) from error
        if container.pixels > most_pixels:
            size = f"{container.width} x {container.height}"
            raise _too_large(name, f"{size} pixels are more than {most_pixels} in a picture", most_pixels)
        total += container.pixels
        if total > TOGETHER * most_pixels:
            message = f"more than {TOGETHER * most_pixels} pixels in the pictures of a request"
            raise _too_large(name, message, TOGETHER * most_pixels)
        found.append(container)
    return found


def _too_large(name: str, message: str, limit: int) -> ApiError:
    return ApiError(Code.TOO_LARGE, f"{name}: {message}", {"field": name, "limit_pixels": limit})


def _turns(containers: list[Container]) -> Iterator[range]:
    """The pictures in runs that are short work."""
    first, pixels = 0, 0
    for i, container in enumerate(containers):
        pixels += container.pixels
        if pixels >= TURN_PIXELS or i + 1 - first == TURN_FILES or i + 1 == len(containers):
            yield range(first, i + 1)
            first, pixels = i + 1, 0


def _fill(rows: Array, turn: range, pictures: Pictures, containers: list[Container], spec: TensorSpec) -> None:
    for i in turn:
        name, data = pictures[i]
        try:
            rows[i] = prepare(grey_of(data, containers[i]), spec)
        except PictureError as error:
            raise invalid(name, str(error)) from error
