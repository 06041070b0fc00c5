"""`odeserve models`: which models there are, on disk or at a server."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import options
from service.commands.ending import fail
from service.commands.examples import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from service.commands.client import Client

EPILOG = examples(
    "odeserve models",
    "odeserve models --url http://127.0.0.1:8000",
    "ODESERVE_MODELS_DIR=checkpoints odeserve models --json",
)
PARAMETERS_WIDTH, METHODS_WIDTH = 80, 110
"""Columns of a terminal from which on these are shown."""
Where = Annotated[
    str | None, typer.Option("--url", help="Ask a running server instead of looking at the artifacts on disk.")
]


def models(
    url: Where = None,
    api_key: options.ApiKey = None,
    cacert: options.CaCert = None,
    as_json: options.JsonDocument = False,
) -> None:
    """List the artifacts that `serve` would load, or with --url the models of a server that is ready."""
    listed, title = (_on_disk(), None) if url is None else (_served(url, api_key, cacert), f"{url} is ready")
    if as_json:
        import json

        typer.echo(json.dumps({"models": listed}))
        return
    from service.commands.console import show

    show(_table(listed, title))


def _on_disk() -> list[dict[str, Any]]:
    from node_model.errors import ArtifactError
    from node_model.manifest import read_manifest
    from service.models import find_artifacts
    from service.settings import SettingsError, read_settings

    try:
        paths = find_artifacts(read_settings())
        return [
            {"path": str(path), **_entry(manifest.model_dump(mode="json"))}
            for path, manifest in ((path, read_manifest(path)) for path in paths)
        ]
    except (SettingsError, ArtifactError) as error:
        fail(error)


def _served(url: str, api_key: str | None, cacert: Any) -> list[dict[str, Any]]:
    from service.commands.client import Target, connected

    with connected(Target(url, api_key, cacert)) as server:
        return [_described(server, entry) for entry in server.get("/models").document["models"]]


def _described(server: "Client", entry: dict[str, Any]) -> dict[str, Any]:
    described = server.model(f"{entry['name']}@{entry['version']}").document
    return {**_entry(described), "default": entry["default"], "ready": entry["ready"]}


def _entry(described: dict[str, Any]) -> dict[str, Any]:
    """Of a manifest, or of what a server says of it."""
    programs = {
        name: {"methods": list(program["methods"]), "tol": program["tol"]}
        for name, program in described["programs"].items()
    }
    return {name: described[name] for name in ("name", "version", "task", "parameters")} | {"programs": programs}


def _table(listed: "Sequence[dict[str, Any]]", title: str | None) -> "Table":
    """Programs that are solved alike stand together; what is less asked for is left out where it does not fit."""
    from service.commands.console import plain_table, width

    served, methods, parameters = title is not None, width() >= METHODS_WIDTH, width() >= PARAMETERS_WIDTH
    heads = ["model", *(["default"] if served else []), "programs", "tol", "default tol"]
    heads += (["methods"] if methods else []) + (["parameters"] if parameters else [])
    table = plain_table(*heads, title=title)
    for column in table.columns:
        column.justify = "right" if column.header in ("default tol", "parameters") else "left"
        column.no_wrap = column.header != "programs"
        column.overflow = "fold"
    for model in listed:
        head = [f"{model['name']}@{model['version']}"]
        head += ["yes" if model["default"] else ""] if served else []
        size = f"{model['parameters']:,}"
        for alike in _alike(model["programs"]):
            program = model["programs"][alike[0]]
            tol = program["tol"]
            cells = [", ".join(alike), f"{tol['tightest']:g} to {tol['loosest']:g}", f"{tol['default']:g}"]
            cells += [" ".join(program["methods"])] if methods else []
            table.add_row(*head, *cells, *([size] if parameters else []))
            head, size = [""] * len(head), ""
    return table


def _alike(programs: dict[str, Any]) -> list[list[str]]:
    """Names of programs, those with the same methods and tolerances together."""
    groups: dict[str, list[str]] = {}
    for name, program in programs.items():
        groups.setdefault(repr(program), []).append(name)
    return list(groups.values())
