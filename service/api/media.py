"""Media types of request bodies, and how a Content-Type header is read."""

import re
from collections.abc import Iterable
from functools import lru_cache

from python_multipart.multipart import parse_options_header

from service.api.errors import ApiError, Code

JSON, NPY, PNG, JPEG, FORM = "application/json", "application/x-npy", "image/png", "image/jpeg", "multipart/form-data"
ARRAYS = (JSON, NPY)
PICTURES = (PNG, JPEG, FORM)

_PLAIN_JSON = re.compile(r"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE)


@lru_cache(maxsize=256)
def media_type(header: str) -> str:
    """The type alone, in small letters; JSON with a charset that is not read is no JSON."""
    kind = header.partition(";")[0].strip().lower()
    if kind == JSON and not _PLAIN_JSON.fullmatch(header):
        return header
    return kind


def unsupported(header: str, expected: Iterable[str], reason: str = "") -> ApiError:
    """415 naming what is read. `reason`: why the list is no longer."""
    types = list(expected)
    listed = types[0] if len(types) == 1 else f"{', '.join(types[:-1])} or {types[-1]}"
    message = f"Content-Type: expected {listed}, got {header[:80]!r}{reason}"
    return ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, {"expected": types})


def boundary_of(header: str) -> bytes:
    """What parts a form; empty where the header does not say."""
    return parse_options_header(header)[1].get(b"boundary", b"")
