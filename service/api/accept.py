"""In which form an answer is wanted: the Accept header, read as HTTP has it."""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache


class Form(StrEnum):
    """Media types of answers."""

    JSON = "application/json"
    LINES = "application/x-ndjson"
    ARRAY = "application/x-npy"


EVERY_FORM = tuple(Form)

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a grammar's token
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = rf"\s*;\s*({_TOKEN})=({_TOKEN}|{_QUOTED})"
_RANGE = re.compile(rf"\s*+({_TOKEN})/({_TOKEN})((?:{_PARAMETER})*)\s*+;?\s*+")
_ELEMENTS = re.compile(rf"(?:{_QUOTED}|[^,\"]|\")+")
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
MOST_READ = 1000
"""Characters of a header beyond which it is not looked at: no client's is as long, and reading takes its time."""


def form_of(accept: str | None, offers: tuple[Form, ...] = EVERY_FORM) -> Form:
    """The offer that a client prefers; JSON when it accepts none of them, because an answer is of more use than 406.

    Of equally good ones that which the header names most exactly, then the first of the offers. What is not well formed
    in the header is passed over.

    Source: RFC 9110, section 12.5.1.
    """
    if not accept or accept == "*/*":
        return offers[0]
    return _form_of(accept[:MOST_READ], offers)


@lru_cache(maxsize=256)
def _form_of(accept: str, offers: tuple[Form, ...]) -> Form:
    ranges = list(_ranges(accept))
    best, found = (0.0, 0), Form.JSON
    for offer in offers:
        fitting = [(exactness, quality) for wanted, exactness, quality in ranges if wanted in _names(offer)]
        if fitting:
            exactness, quality = max(fitting)
            if quality > 0 and (quality, exactness) > best:
                best, found = (quality, exactness), offer
    return found


def _names(offer: Form) -> tuple[str, str, str]:
    """The media ranges that a form is within."""
    return "*/*", f"{offer.partition('/')[0]}/*", offer.value


def _ranges(accept: str) -> Iterator[tuple[str, int, float]]:
    """Media ranges of the header with how exact they are and how good. Parameters other than q are not looked at."""
    for element in _ELEMENTS.findall(accept):
        match = _RANGE.fullmatch(element)
        if match is None:
            continue
        kind, subtype, parameters = match.group(1).lower(), match.group(2).lower(), match.group(3)
        weights = [value for name, value in re.findall(_PARAMETER, parameters) if name.lower() == "q"]
        if weights and not _QUALITY.fullmatch(weights[0]):
            continue
        exactness = 0 if kind == "*" else 1 if subtype == "*" else 2
        yield f"{kind}/{subtype}", exactness, float(weights[0]) if weights else 1.0
