"""The API's description: what the routes say of themselves, completed with what holds for all of them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from service.api.errors import Code, documented
from service.api.examples import SCHEMAS
from service.api.keys import is_open
from service.settings import Settings

TAGS = {
    "solve": "Ask a model, at the tolerance of your choice. Solver parameters are in the query.",
    "models": "Which models there are, what they take, and what a tolerance costs.",
    "open inference protocol": "The same models for clients of the Open Inference Protocol, version 2.",
    "operations": "Health and metrics: no key needed.",
}
_FOLDERS = {
    "/models": "models",
    "/v2": "open inference protocol",
    "/health": "operations",
    "/metrics": "operations",
}
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: KEY`"},
}
"""How a key is sent; needed where the server has keys."""
HEADERS = {
    "X-Request-ID": {"description": "taken over from the request, or made", "schema": {"type": "string"}},
}
"""Of every answer."""
COST_HEADERS = {
    "X-NFE": {
        "description": "field evaluations of all items; not beside lines, whose summary has it",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Tol": {
        "description": "the loosest tolerance used; not beside lines",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "Server-Timing": {
        "description": "milliseconds: queue, solve, total, predicted; not beside lines",
        "schema": {"type": "string"},
    },
}
"""Of every solve, and of errors of items that were begun."""
COST_STATUSES = ("200", "422", "504")
INFER = "/infer"
RETRY_HEADER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
RETRY_STATUSES = ("429", "503")


def describe(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI document of an app, true of its settings."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    names = _names(route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema)
    for path, method, operation in _operations(document):
        operation["operationId"] = names[path, method]
        operation["tags"] = [tag_of(path)]
        _complete(operation, path, guarded=bool(settings.api_keys) and not is_open(path))
        _bound(operation.get("parameters", ()), settings)
    components = document.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    schemas = components.get("schemas", {})
    for name, schema in schemas.items():
        if name in SCHEMAS and "examples" not in schema:
            schema["examples"] = [SCHEMAS[name]]
    schemas["Error"]["properties"]["code"]["enum"] = [code.value for code in Code]
    return document


def _names(routes: Iterable[APIRoute]) -> dict[tuple[str, str], str]:
    """Operation ids: a handler's name, and where it or its name has several paths the path's words behind the first."""
    names: dict[tuple[str, str], str] = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            words = "_".join(re.findall(r"\w+", route.path))
            names[route.path, method.lower()] = f"{route.name}_{words}" if route.name in names.values() else route.name
    return names


def tag_of(path: str) -> str:
    """Under which heading a path stands."""
    return next((tag for folder, tag in _FOLDERS.items() if path == folder or path.startswith(f"{folder}/")), "solve")


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(operation: dict[str, Any], path: str, guarded: bool) -> None:
    """What each operation has without saying so: a key where keys are set, faults, headers."""
    responses = operation["responses"]
    common = (Code.UNAUTHORIZED, Code.INTERNAL) if guarded else (Code.INTERNAL,)
    usual = {"$ref": "#/components/schemas/ErrorAnswer"}
    schema = _error_schema(responses) or usual
    for status, response in documented(*common).items():
        examples = response["content"]["application/json"] if schema == usual else {}
        content = {"application/json": {**examples, "schema": schema}}
        responses.setdefault(str(status), {"description": response["description"], "content": content})
    if guarded:
        operation["security"] = [{scheme: []} for scheme in SCHEMES]
        responses["401"].setdefault("headers", {})["WWW-Authenticate"] = {"schema": {"type": "string"}}
    costs = COST_HEADERS if tag_of(path) == "solve" or path.endswith(INFER) else {}
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        headers |= HEADERS | (costs if status in COST_STATUSES else {})
        headers |= RETRY_HEADER if status in RETRY_STATUSES else {}
    operation["responses"] = dict(sorted(responses.items()))


def _error_schema(responses: dict[str, Any]) -> Any:
    """The schema of the errors that a route names itself."""
    own = (r["content"]["application/json"]["schema"] for s, r in responses.items() if s >= "4" and "content" in r)
    return next(own, None)


def _bound(parameters: Any, settings: Settings) -> None:
    """Write down the limits that this server's settings put on parameters."""
    most = {"max_nfe": settings.max_nfe, "deadline_ms": 1e3 * settings.max_seconds}
    for parameter in parameters:
        if parameter["in"] == "query" and parameter["name"] in most:
            parameter["schema"] = parameter["schema"] | {"maximum": most[parameter["name"]]}
