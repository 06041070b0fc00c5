"""The bodies that a route reads, for OpenAPI: a schema and examples for each media type."""

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BaseModel

from service.api.examples import SCHEMAS as EXAMPLES
from service.api.media import FORM, JPEG, JSON, NPY, PNG
from service.api.multipart import FIELD

SIZE, STROKE = 56, [(14, 12), (42, 12), (24, 46)]
"""A seven, in pixels."""
FILE = {"type": "string", "format": "binary"}
FORM_SCHEMA = {"type": "object", "required": [FIELD], "properties": {FIELD: {"type": "array", "items": FILE}}}


def body_content(*bodies: type[BaseModel], others: Iterable[str] = ()) -> dict[str, Any]:
    """`requestBody.content` of a route. Its JSON is one of `bodies`; `others` are the other types it reads."""
    others = list(others)
    examples = [EXAMPLES[body.__name__] for body in bodies]
    if PNG in others:
        examples.append({"image": {"b64": base64.b64encode(_file(PNG)).decode()}})
    schemas = [body.model_json_schema() for body in bodies]
    json = {"schema": (schemas[0] if len(schemas) == 1 else {"anyOf": schemas}) | {"examples": examples}}
    return {JSON: json, **{kind: _content(kind) for kind in others}}


def _content(kind: str) -> dict[str, Any]:
    if kind == FORM:
        examples = {"curl": {"summary": "curl -F file=@7.png", "value": {FIELD: ["@7.png"]}}}
        return {"schema": FORM_SCHEMA, "encoding": {FIELD: {"contentType": f"{PNG}, {JPEG}"}}, "examples": examples}
    address = f"data:{kind};base64,{base64.b64encode(_file(kind)).decode()}"
    return {"schema": FILE, "examples": {"file": {"externalValue": address}}}


def _file(kind: str) -> bytes:
    """A small file of a type: a drawn seven, or the two points of an array."""
    file = io.BytesIO()
    if kind == NPY:
        np.save(file, np.array([[0.5, 1.0], [0.0, 0.0]], np.float32))
        return file.getvalue()
    picture = Image.new("L", (SIZE, SIZE), 255)
    ImageDraw.Draw(picture).line(STROKE, fill=0, width=6, joint="curve")
    picture.save(file, "PNG" if kind == PNG else "JPEG")
    return file.getvalue()
