"""The table of errors, from the one that handlers read."""

import re
from typing import Any

from pieces import code, example, page, table

from service.api.errors import TABLE
from service.api.examples import error_example

_CODES = re.compile(r"`(\w+)`: ")


def codes_in(description: str) -> list[str]:
    """The codes of which a response's description speaks."""
    known = {entry.value for entry in TABLE}
    return [found for found in _CODES.findall(description) if found in known]


def errors_page(document: dict[str, Any]) -> str:
    """Every code with its status, its meaning, an example, and the routes that may answer with it."""
    routes: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for response in operation["responses"].values():
                for name in codes_in(response.get("description", "")):
                    routes.setdefault(name, []).append(f"{method.upper()} {path}")
    overview = table(
        ("code", "status", "meaning"),
        [
            (f"[{code(entry.value)}](#{entry.value})", str(status), meaning)
            for entry, (status, meaning) in TABLE.items()
        ],
    )
    parts = []
    for entry, (status, meaning) in TABLE.items():
        asked = routes.get(entry.value, [])
        where = "every route" if len(asked) > MANY or not asked else ", ".join(map(code, asked))
        parts.append(
            f"## `{entry.value}` {{#{entry.value}}}\n\n{status}: {meaning}. From {where}.\n\n"
            + example(error_example(entry.value, meaning))
        )
    return page("Error codes", INTRODUCTION, overview, *parts)


MANY = 12
INTRODUCTION = """Every error has the same body, `{"error": {"code", "message", "details"}}`; `code` is from this
closed set, `message` says which field was wrong and what was expected, and `details` has the same for programs. Under
`/v2` the body is `{"error": "message"}`, as the protocol has it, with the same statuses. A 429 and a 503
have `Retry-After`. What to do about the common ones: [questions and troubles](../faq.md)."""
