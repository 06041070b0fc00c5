"""A prefix that a proxy serves this server under, whether it takes the prefix away or not."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class UnderPrefix:
    """Tells the app its prefix, `root_path` of ASGI, and that paths with and without it are meant alike."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["root_path"] = self._prefix
            # ASGI: the path of a request has the prefix in it.
            path, raw = scope["path"], scope.get("raw_path") or b""
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                scope["path"], scope["raw_path"] = self._prefix + path, self._prefix.encode() + raw
            elif path == self._prefix:
                # Addresses in the page are relative: without the slash they would lead past the prefix.
                await RedirectResponse(f"{path}/")(scope, receive, send)
                return
        await self._app(scope, receive, send)


def inner_path(scope: Scope) -> str:
    """The path that routes know."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path.removeprefix(prefix) if prefix else path
