"""Forms (multipart/form-data) that carry files, taken apart in memory: the body limit holds, nothing goes to disk."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.bodies import too_many
from service.api.errors import invalid
from service.api.media import JPEG, PNG, unsupported

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
UNSAID = ("", "application/octet-stream")
"""Types of a part that leave it to the content."""
EXPECTED = f"expected a form with one or more files named {FIELD}"


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)


def files_of(body: bytes, boundary: bytes, most: int) -> list[tuple[str, bytes]]:
    """The files of a form, in order, each under the name that an error gives it.

    Errors: ApiError 422 saying what of the form was not as expected, 413 for too many files, 415 for another type.
    """
    if not boundary:
        raise invalid("Content-Type", "multipart/form-data without a boundary")
    reader = _Reader(most)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise invalid("form", f"{EXPECTED}: {str(error)[:200]}") from error
    if not reader.complete:
        raise invalid("form", f"{EXPECTED}; it ends before its closing boundary")
    if not reader.files:
        raise invalid(FIELD, f"{EXPECTED}, got an empty one")
    many = len(reader.files) > 1
    return [(f"{FIELD}[{i}]" if many else FIELD, content) for i, content in enumerate(reader.files)]


class _Reader:
    """Collects the parts while the parser goes through the body. Errors: ApiError, through the parser."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._part = _Part()
        self._name, self._value = b"", b""
        self.files: list[bytes] = []
        self.complete = False

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls, and with what."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._check,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._part = _Part()
        if len(self.files) == self._most:
            raise too_many(FIELD, self._most)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _check(self) -> None:
        said, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("latin-1")
        if said != b"form-data" or name != FIELD:
            raise invalid("form", f"{EXPECTED}, got a part named {name[:80]!r}")
        if not options.get(b"filename"):
            raise invalid(FIELD, f"{EXPECTED}, got one without a filename")
        kind = self._part.headers.get(b"content-type", b"").decode("latin-1")
        if kind.partition(";")[0].strip().lower() not in (PNG, JPEG, *UNSAID):
            raise unsupported(kind, (PNG, JPEG), f" of {FIELD} {len(self.files)}")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.pieces.append(data[start:end])

    def _end(self) -> None:
        self.files.append(b"".join(self._part.pieces))

    def _finish(self) -> None:
        self.complete = True
