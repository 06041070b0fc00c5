"""Pictures in a JSON body: `{"image": {"b64": "..."}}` or `{"images": [{"b64": "..."}, ...]}`."""

import binascii
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter, create_model

from service.api.bodies import MOST_QUOTES, refuse_many_names, refuse_other_than_one, validated
from service.api.errors import invalid
from service.api.pictures.batch import Pictures

_STRICT = ConfigDict(extra="forbid", strict=True)
_DATA_URL = re.compile(r"data:image/(png|jpeg);base64,")
QUOTES = 4
"""Quotation marks that a picture takes."""


class _Base64(BaseModel):
    """Bytes in JSON as TensorFlow Serving writes them."""

    model_config = _STRICT
    b64: str


class PictureBody:
    """A body with one picture or several."""

    def __init__(self, one: str, many: str, most_items: int) -> None:
        self._one, self._many, self._most_items = one, many, most_items
        items = Annotated[list[_Base64], Field(min_length=1, max_length=most_items), FailFast()]
        fields: dict[str, Any] = {one: (_Base64, None), many: (items, None)}
        self._adapter = TypeAdapter(create_model("Body", __config__=_STRICT, **fields))

    def read(self, body: bytes) -> Pictures:
        """Errors: ApiError 422, or 413 for too many pictures."""
        refuse_many_names(body, (self._one, self._many, "b64"), MOST_QUOTES + QUOTES * self._most_items)
        parsed = validated(self._adapter, body, self._many)
        refuse_other_than_one(parsed.model_fields_set, self._one, self._many)
        if self._one in parsed.model_fields_set:
            return [_decoded(f"{self._one}.b64", getattr(parsed, self._one))]
        return [_decoded(f"{self._many}[{i}].b64", given) for i, given in enumerate(getattr(parsed, self._many))]


def _decoded(name: str, picture: _Base64) -> tuple[str, bytes]:
    text = picture.b64
    begun = _DATA_URL.match(text)
    try:
        # Tools break the lines of base64.
        return name, binascii.a2b_base64("".join(text[begun.end() if begun else 0 :].split()), strict_mode=True)
    except ValueError as error:
        raise invalid(name, f"expected a PNG or JPEG file in base64: {error}") from error
