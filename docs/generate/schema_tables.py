"""JSON schemas as tables of fields."""

import json
from collections.abc import Mapping
from typing import Any

from pieces import code, table

Schema = Mapping[str, Any]


def schema_section(name: str, schema: Schema, page: str = "") -> str:
    """A schema under a heading of its own name. `page`: where the schemas stand that it speaks of; here, if empty."""
    return f"## {name}\n\n{schema.get('description', '')}\n\n{fields_of(schema, page)}\n"


def fields_of(schema: Schema, page: str = "") -> str:
    """The fields of an object; of anything else its type."""
    required = schema.get("required", ())
    rows = [
        (code(field), type_of(kind, page), "" if field in required else default_of(kind), meaning_of(kind))
        for field, kind in schema.get("properties", {}).items()
    ]
    described = [any(row[column] for row in rows) for column in range(4)]
    kept = [column for column in range(4) if described[column]]
    heads = ("field", "type", "default", "meaning")
    return table([heads[c] for c in kept], [[row[c] for c in kept] for row in rows]) if rows else type_of(schema, page)


def default_of(kind: Schema) -> str:
    """What an absent field means."""
    if "default" not in kind:
        return "may be left out"
    default = kind["default"]
    return (
        "none" if default in (None, "", [], {}) else code(default if isinstance(default, str) else json.dumps(default))
    )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def meaning_of(kind: Schema) -> str:
    """The description, and the bounds of a number."""
    bounds = [
        f"{word} {_number(kind[key])}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in kind
    ]
    if "minItems" in kind and kind["minItems"] > 0:
        bounds.append(f"{kind['minItems']} or more")
    if "maxItems" in kind:
        bounds.append(f"{kind['maxItems']} at most")
    return "; ".join(filter(None, (kind.get("description", ""), ", ".join(bounds))))


def type_of(kind: Schema, page: str = "") -> str:
    """A type in words, other schemas as links."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}]({page}#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in kind and all("required" not in one or "type" in one or "$ref" in one for one in kind[several]):
            return " or ".join(dict.fromkeys(type_of(one, page) for one in kind[several]))
    if "const" in kind:
        return code(kind["const"])
    if "enum" in kind:
        return " or ".join(map(code, kind["enum"]))
    return _plain(kind, page)


def _grouped(words: str) -> str:
    return f"({words})" if " or " in words else words


def _plain(kind: Schema, page: str) -> str:
    name = kind.get("type")
    if isinstance(name, list):
        return " or ".join(name)
    if name == "array":
        if "prefixItems" in kind:
            return f"({', '.join(type_of(one, page) for one in kind['prefixItems'])})"
        items = kind.get("items")
        return f"list of {_grouped(type_of(items, page))}" if items else "list"
    if name == "object":
        entries = kind.get("additionalProperties")
        return f"object of {_grouped(type_of(entries, page))}" if isinstance(entries, dict) else "object"
    return {"string": "text", "null": "null", "integer": "whole number"}.get(name or "", name or "anything")
