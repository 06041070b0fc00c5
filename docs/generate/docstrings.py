"""Docstrings as this project writes them: one line what, prose, then lines that begin with Shapes, Units, Errors."""

import re
from typing import Any

import griffe

_NAMED = re.compile(r"^((?:Shapes|Units|Errors|Source)(?:, (?:Shapes|Units|Errors|Source))*): *(.*)$")


def as_list(docstring: str) -> str:
    """The named lines, with what continues them, as a list."""
    lines: list[str] = []
    continued = False
    for line in docstring.splitlines():
        named = _NAMED.match(line)
        if named:
            lines += ([] if continued else [""]) + [f"- **{named[1]}**: {named[2]}"]
            continued = True
        elif continued and line.strip():
            lines[-1] += f" {line.strip()}"
        else:
            continued = False
            lines.append(line)
    return "\n".join(lines)


class NamedLines(griffe.Extension):
    """Sets every docstring's named lines as a list."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """When an object was read."""
        if obj.docstring:
            obj.docstring.value = as_list(obj.docstring.value)
