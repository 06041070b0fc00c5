"""Files of the server's own pages: with their types, packed where that is taken, and cached by browsers."""

import gzip
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from service.api.errors import ApiError, Code

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    "": "text/plain",
}
"""Content types by the end of a name."""


def page_policy(*, styles: str = "'self'", images: str = "'self'") -> str:
    """Content-Security-Policy of a page that asks this server and nobody else, and runs nothing but its own files."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles}; img-src {images}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class PageFiles:
    """Some files of a folder, and no others. Their content is read once."""

    def __init__(self, folder: Traversable, names: tuple[str, ...], headers: Mapping[str, str]) -> None:
        self._folder = folder
        self._names = frozenset(names)
        self._headers = {**headers, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        self._content = cache(self._read)

    def answer(self, request: Request, name: str) -> Response:
        """The file, or 304 where the browser has it. Errors: ApiError 404."""
        if name not in self._names:
            raise ApiError(Code.NOT_FOUND, f"no file {name[:80]!r} of this page")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        content, tag = self._content(name, packed)
        sent = {**self._headers, "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=sent)
        if packed:
            sent["Content-Encoding"] = "gzip"
        return Response(content, headers=sent, media_type=media_type_of(name))

    def _read(self, name: str, packed: bool) -> tuple[bytes, str]:
        """Content, and a tag that tells it from any other."""
        content = self._folder.joinpath(*name.split("/")).read_bytes()
        if packed:
            content = gzip.compress(content, mtime=0)
        return content, f'"{sha256(content).hexdigest()[:24]}"'


def media_type_of(name: str) -> str:
    """By the end of its name; plain text for licences and the like."""
    end = name[name.rfind(".") :] if "." in name else ""
    return TYPES[end]
