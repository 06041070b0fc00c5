"""The page that shows the API, with nothing from elsewhere: it works without the internet and under any prefix."""

from importlib.resources import files

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.page_files import PageFiles, page_policy
from service.api.routes import HandlerRoute

router = APIRouter(route_class=HandlerRoute, include_in_schema=False)

FOLDER = files("service.api") / "swagger_ui"
PAGE = "docs.html"
NAMES = (
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
    "docs.js",
    "favicon.svg",
    "LICENSE",
    "NOTICE",
)
"""Files of the page."""
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": page_policy(styles="'self' 'unsafe-inline'", images="'self' data:"),
    "Referrer-Policy": "no-referrer",
}
_PAGE = PageFiles(FOLDER, (PAGE,), PAGE_HEADERS)
_FILES = PageFiles(FOLDER, NAMES, {"Cache-Control": "public, max-age=3600"})


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The page."""
    return _PAGE.answer(request, PAGE)


@router.get("/docs/{file}")
async def docs_file(request: Request) -> Response:
    """A file of the page."""
    return _FILES.answer(request, request.path_params["file"])


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """What browsers ask for whatever a page says."""
    return _FILES.answer(request, "favicon.svg")


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The API, for programs."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")
