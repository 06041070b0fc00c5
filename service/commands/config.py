"""Every setting of a server as it is here: value, where it comes from, unit, meaning."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from service.commands.console import show
from service.settings import OTLP_VARIABLES, PREFIX, SECRET, Settings, Unit

HIDDEN = "***"
DEFAULT, ENVIRONMENT, OPTION = "default", "environment", "option"
TABLE_WIDTH = 100
LISTENING = {"host": "address to listen on", "port": "0 chooses a free one"}


def print_settings(settings: Settings, listening: Mapping[str, tuple[Any, bool]], *, as_json: bool) -> None:
    """`listening`: options of the command, each with whether it was given."""
    entries = [*_options(listening), *_settings(settings), *_traces()]
    if as_json:
        typer.echo(json.dumps({"settings": entries}))
        return
    show(_Entries(entries))


class _Entries:
    """A table; where that would be narrow columns, a paragraph for each setting."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < TABLE_WIDTH:
            for entry in self._entries:
                yield Text.assemble(entry["name"], " = ", _value(entry), (f"  ({entry['source']})", "dim"))
                yield Padding(Text(entry["meaning"], "dim"), (0, 0, 0, 4))
            return
        columns = (Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", no_wrap=True))
        table = Table(*columns, "meaning", box=None, pad_edge=False)
        for entry in self._entries:
            source = Text(entry["source"], _style(entry))
            table.add_row(entry["name"], _value(entry), source, Text(entry["meaning"], "dim"))
        yield table


def _style(entry: Mapping[str, Any]) -> str:
    return "" if entry["source"] == DEFAULT else "bold cyan"


def _value(entry: Mapping[str, Any]) -> Text:
    """As it would stand in the environment, with its unit; - for what is not set."""
    value = entry["value"]
    if value in (None, "", []):
        return Text("-")
    words = ",".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)
    return Text(f"{words} {entry['unit'] or ''}".strip(), _style(entry))


def _options(listening: Mapping[str, tuple[Any, bool]]) -> Iterator[dict[str, Any]]:
    for name, (value, given) in listening.items():
        yield _entry(f"--{name}", value, OPTION if given else DEFAULT, None, LISTENING[name])


def _settings(settings: Settings) -> Iterator[dict[str, Any]]:
    values = settings.model_dump(mode="json")
    for name, field in Settings.model_fields.items():
        unit = next((mark.name for mark in field.metadata if isinstance(mark, Unit)), None)
        source = ENVIRONMENT if name in settings.model_fields_set else DEFAULT
        value = [HIDDEN] * len(values[name]) if name in SECRET else values[name]
        yield _entry(f"{PREFIX}{name}".upper(), value, source, unit, field.description or "")


def _traces() -> Iterator[dict[str, Any]]:
    for name in OTLP_VARIABLES:
        source = ENVIRONMENT if name in os.environ else DEFAULT
        yield _entry(name, os.environ.get(name), source, None, "collector that spans are sent to, with the extra otel")


def _entry(name: str, value: Any, source: str, unit: str | None, meaning: str) -> dict[str, Any]:
    return {"name": name, "value": value, "source": source, "unit": unit, "meaning": meaning}
