"""The table of settings, from service/settings.py."""

from collections.abc import Mapping
from typing import Any

from pieces import code, page, table
from schema_tables import meaning_of, type_of

from service.settings import PREFIX, Settings


def settings_page() -> str:
    """Every variable with its default, kind and meaning."""
    fields = Settings.model_json_schema()["properties"]
    return page("Settings", INTRODUCTION, table(("variable", "default", "kind", "meaning"), map(_row, fields.items())))


def _row(field: tuple[str, Mapping[str, Any]]) -> tuple[str, str, str, str]:
    name, schema = field
    return code(f"{PREFIX}{name.upper()}"), _default(name), _kind(schema), meaning_of(_one(schema))


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory:
        return "by the machine: a thread for each core, four at most" if name == "shards" else "by the machine"
    value = field.default
    if value in (None, "", ()):
        return "not set"
    return code(",".join(map(str, value)) if isinstance(value, tuple) else value)


def _one(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kind of a setting that is there, with what is said of it."""
    there = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    found = {**schema, **there[0]} if there else dict(schema)
    return {key: value for key, value in found.items() if key not in ("minItems", "maxItems")}


def _kind(schema: Mapping[str, Any]) -> str:
    kind = {key: value for key, value in _one(schema).items() if key != "anyOf"}
    if kind.get("type") == "array":
        return "words between commas"
    return "path" if kind.get("format") in ("path", "file-path") else type_of(kind)


INTRODUCTION = """Settings are variables of the environment, read once at the start. A name that begins with `ODESERVE_`
and is not listed here ends the start and is named; so does a value that is out of its bounds. How they are used:
[operations](../operations.md), [access and limits](../access.md). OpenTelemetry's own variables are
[its SDK's](../operations.md#traces)."""
