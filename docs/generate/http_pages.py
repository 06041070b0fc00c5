"""The HTTP API, from the OpenAPI document of an app with default settings."""

import re
from collections.abc import Iterator
from typing import Any

from errors_page import codes_in
from pieces import code, example, page, table
from schema_tables import default_of, fields_of, meaning_of, schema_section, type_of

SCHEMAS = "http-schemas.md"
ERRORS = "errors.md"

Operation = dict[str, Any]


def http_pages(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, text): a page for each tag, and one of the schemas."""
    for tag in document["tags"]:
        name = tag["name"]
        yield f"http-{name.replace(' ', '-')}.md", _tag_page(name, tag["description"], document)
    schemas = document["components"]["schemas"]
    yield (
        SCHEMAS,
        page(
            "Schemas",
            "What bodies and answers consist of, as `/openapi.json` of a running server has it.",
            *(schema_section(name, schema) for name, schema in schemas.items()),
        ),
    )


def _tag_page(tag: str, description: str, document: dict[str, Any]) -> str:
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    overview = table(
        ("route", ""),
        [
            (f"[{code(f'{m} {p}')}](#{_anchor(m, p)})", o.get("description", "").split("\n")[0])
            for m, p, o in operations
        ],
    )
    title = "Health and metrics" if tag == "operations" else tag.title() if tag != "solve" else "Solve"
    parts = (_operation(method, path, operation) for method, path, operation in operations)
    return page(title, description, overview, *parts)


def _anchor(method: str, path: str) -> str:
    return re.sub(r"\W+", "-", f"{method} {path}").strip("-").lower()


def _operation(method: str, path: str, operation: Operation) -> str:
    parts = [f"## `{method} {path}` {{#{_anchor(method, path)}}}\n", f"{operation.get('description', '')}\n"]
    for place, title in (("path", "In the path"), ("query", "In the query"), ("header", "In the headers")):
        parameters = [p for p in operation.get("parameters", ()) if p["in"] == place]
        if parameters:
            parts += [f"**{title}**\n", _parameters(parameters)]
    if "requestBody" in operation:
        parts += ["**Body**\n", _body(operation["requestBody"]["content"])]
    return "\n".join([*parts, "**Answers**\n", _answers(operation["responses"]), _headers(operation["responses"])])


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (
            code(p["name"]),
            type_of(p["schema"], SCHEMAS),
            "needed" if p.get("required") else default_of(p["schema"]) if "default" in p["schema"] else "",
            "; ".join(filter(None, (p.get("description", ""), meaning_of(p["schema"])))),
        )
        for p in parameters
    ]
    return table(("name", "type", "default", "meaning"), rows)


def _body(content: dict[str, Any]) -> str:
    """What a route reads: its JSON field by field, with the first of the examples, and the other types by name."""
    schema = content.get("application/json", {}).get("schema", {})
    parts = []
    for one in schema.get("anyOf", (schema,)):
        name = f"`{one['title']}`: " if "anyOf" in schema and "title" in one else ""
        parts += [f"{name}{one.get('description', '')}\n", fields_of(one, SCHEMAS)]
    parts += [example(shown) for shown in schema.get("examples", ())[:1]]
    others = [code(media) for media in content if media != "application/json"]
    told = "../protocol-v2.md#binary-tensors" if "application/octet-stream" in content else "../inputs.md"
    return "\n".join([*parts, f"Or {', '.join(others)}: [what they hold]({told}).\n" if others else ""])


def _answers(responses: dict[str, Any]) -> str:
    rows = []
    for status, response in responses.items():
        content = response.get("content", {})
        codes = codes_in(response.get("description", ""))
        if codes:
            told = ", ".join(f"[{code(name)}]({ERRORS}#{name})" for name in codes)
        else:
            forms = [
                f"{code(media)}: {type_of(entry['schema'], SCHEMAS)}"
                if "$ref" in entry.get("schema", {})
                else code(media)
                for media, entry in content.items()
            ]
            told = "; ".join(forms) or response.get("description", "")
        rows.append((status, told))
    return table(("status", ""), rows)


def _headers(responses: dict[str, Any]) -> str:
    """What stands beside a good answer."""
    headers = responses.get("200", {}).get("headers", {})
    told = [f"- {code(name)}: {entry['description']}" for name, entry in headers.items() if entry.get("description")]
    return "\n".join(["Headers of a 200:\n", *told, ""]) if told else ""
