"""The page at /: the API to play with. It is a client like any other, of plain modules without a build step."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.page_files import TYPES, PageFiles
from service.api.routes import HandlerRoute

router = APIRouter(route_class=HandlerRoute, include_in_schema=False)

FOLDER = files("service.api") / "playground"
PAGE = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The page asks this server and nobody else, and runs nothing but its own files."""


def _names(folder: Traversable, before: str = "") -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _names(entry, f"{before}{entry.name}/")
        elif entry.name.endswith(tuple(end for end in TYPES if end)) or entry.name == "LICENSE":
            yield before + entry.name


NAMES = tuple(sorted(_names(FOLDER)))
# Names stay the same from version to version: a browser asks each time whether its copy is the one.
_FILES = PageFiles(FOLDER, NAMES, {"Cache-Control": "no-cache"})


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _FILES.answer(request, PAGE, **{"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


@router.get("/playground/{file:path}")
async def playground_file(request: Request) -> Response:
    """A file of the page."""
    return _FILES.answer(request, request.path_params["file"])
