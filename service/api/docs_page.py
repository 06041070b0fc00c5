"""The page that shows the API, with nothing from elsewhere: it works without the internet and under any prefix."""

import gzip
from functools import lru_cache
from importlib.resources import files

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.api.errors import ApiError, Code
from service.api.routes import HandlerRoute

router = APIRouter(route_class=HandlerRoute, include_in_schema=False)

FOLDER = files("service.api") / "swagger_ui"
TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-bundle.js.LICENSE.txt": "text/plain",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
    "LICENSE": "text/plain",
    "NOTICE": "text/plain",
}
"""Files of the page."""
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The page asks this server and nobody else."""
FILE_HEADERS = {"Cache-Control": "public, max-age=3600", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}


@router.get("/")
async def index(request: Request) -> Response:
    """Where people begin."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The page."""
    return Response((FOLDER / "docs.html").read_bytes(), headers=PAGE_HEADERS, media_type="text/html")


@router.get("/docs/{file}")
async def docs_file(request: Request) -> Response:
    """A file of the page."""
    return _file(request, request.path_params["file"])


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """What browsers ask for whatever a page says."""
    return _file(request, "favicon.svg")


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The API, for programs."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


def _file(request: Request, name: str) -> Response:
    """Errors: ApiError 404."""
    if name not in TYPES:
        raise ApiError(Code.NOT_FOUND, f"no file {name[:80]!r} of the page /docs")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = FILE_HEADERS | ({"Content-Encoding": "gzip"} if packed else {})
    return Response(_content(name, packed), headers=headers, media_type=TYPES[name])


@lru_cache(maxsize=2 * len(TYPES))
def _content(name: str, packed: bool) -> bytes:
    content = (FOLDER / name).read_bytes()
    return gzip.compress(content, mtime=0) if packed else content
