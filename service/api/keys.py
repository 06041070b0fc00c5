"""API keys: who may ask, where keys are set."""

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import ApiError, Code
from service.api.prefix import inner_path

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico", "/metrics"})
OPEN_FOLDERS = ("/docs/", "/playground/", "/health/", "/v2/health/")
"""What needs no key: probes and scrapers send none, and the pages tell nothing of the models or their inputs."""


class KeyGuard:
    """Lets requests pass that bring one of the keys, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.

    The others are answered 401 before their body is read. A key is compared with all keys in a time that depends on
    neither; keys are held as digests alone.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str], failed: Callable[[Request, ApiError], Response]) -> None:
        self._app = app
        self._digests = [_digest(key) for key in keys]
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(inner_path(scope)) or self._knows(_given(Headers(scope=scope))):
            await self._app(scope, receive, send)
            return
        message = "expected an API key, as Authorization: Bearer KEY or X-API-Key: KEY"
        headers = {"WWW-Authenticate": 'Bearer realm="odeserve"'}
        response = self._failed(Request(scope, receive), ApiError(Code.UNAUTHORIZED, message, {}, headers))
        await response(scope, receive, send)

    def _knows(self, given: str) -> bool:
        digest, known = _digest(given), False
        for one in self._digests:
            known |= hmac.compare_digest(digest, one)
        return known


def is_open(path: str) -> bool:
    """Whether a path, without the server's prefix, may be asked for without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _given(headers: Headers) -> str:
    """What was sent as a key; empty when nothing was."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
