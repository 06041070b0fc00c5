"""The page at /: the API to play with. It is a client like any other, of plain modules without a build step."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.page_files import TYPES, PageFiles, page_policy
from service.api.routes import HandlerRoute

router = APIRouter(route_class=HandlerRoute, include_in_schema=False)

FOLDER = files("service.api") / "playground"
PAGE = "index.html"
FRESH = {"Cache-Control": "no-cache"}
HEADERS = {**FRESH, "Content-Security-Policy": page_policy(), "Referrer-Policy": "no-referrer"}


def _names(folder: Traversable, before: str = "") -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _names(entry, f"{before}{entry.name}/")
        elif entry.name.endswith(tuple(end for end in TYPES if end)) or entry.name == "LICENSE":
            yield before + entry.name


NAMES = tuple(sorted(_names(FOLDER)))
# Names stay the same from version to version: a browser asks each time whether its copy is the one.
_FILES = PageFiles(FOLDER, NAMES, FRESH)
_PAGE = PageFiles(FOLDER, (PAGE,), HEADERS)


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _PAGE.answer(request, PAGE)


@router.get("/playground/{file:path}")
async def playground_file(request: Request) -> Response:
    """A file of the page."""
    return _FILES.answer(request, request.path_params["file"])
