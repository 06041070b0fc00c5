"""`odeserve trajectory`: how items were solved, attempt by attempt."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.asking import Asking, asks
from service.commands.ending import ExitCode
from service.commands.examples import examples
from service.commands.files import File, Kind, argument, array_of, read_file
from service.commands.writing import Out, Results, check_out, write_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

EPILOG = examples(
    "odeserve trajectory --tol 1e-4 examples/digits/7.json",
    "echo 0.5,1.0 | odeserve trajectory --tol 1e-3 -",
    'echo \'{"n": 3, "seed": 7}\' | odeserve trajectory --model cnf-pinwheel --out steps.csv -',
)
MOST_SHOWN, MOST_NUMBERS, RAIL = 3, 4, 56
FIELDS = {"image": "classify", "images": "classify", "n": "sample", "input": "predict", "inputs": "predict"}
"""Programs by fields of bodies; others are points."""
Items = Annotated[
    Path, argument("A picture, CSV or .npy with points, or a JSON body of /classify, /density, /sample or /predict")
]


@asks()
def trajectory(
    file: Items,
    *,
    asking: Asking,
    out: Out = None,
) -> None:
    """Follow a solve: every attempt, accepted or rejected, and what was found on the way. At most 256 items."""
    check_out(out, ".csv", ".json")
    body = _body(read_file(file, *Kind))
    from service.commands.console import show, waiting

    query = asking.query
    program = next((FIELDS[name] for name in FIELDS if f'"{name}"'.encode() in body), "log_density")
    with (
        asking.connected(program) as server,
        waiting("solving"),
    ):
        answer = server.post("/trajectory", query, body, Kind.JSON)
    items = answer.document["items"]
    if asking.as_json:
        typer.echo(answer.content)
    else:
        show(*_shown(answer.document))
    write_out(out, Results([answer.document], lambda: (_COLUMNS, list(_rows(items)))))
    if any(item["status"] != "ok" for item in items):
        raise typer.Exit(ExitCode.FAILED)


def _body(file: File) -> bytes:
    """A JSON body; an array of three axes is images, of fewer points. Errors: BadParameter."""
    if file.kind is Kind.JSON:
        return file.content
    if file.kind in (Kind.PNG, Kind.JPEG):
        return json.dumps({"image": {"b64": base64.b64encode(file.content).decode()}}).encode()
    array = array_of(file)
    field = {1: "point", 2: "points", 3: "images"}.get(array.ndim)
    if field is None:
        raise file.wrong(f"expected points or images, got an array of {array.ndim} axes")
    return json.dumps({field: array.tolist()}).encode()


def _shown(answer: dict[str, Any]) -> "Iterator[RenderableType]":
    from service.commands.console import facts
    from service.commands.solves import cost_facts, of_model

    items = answer["items"]
    yield of_model(answer, items[0])
    for number, item in enumerate(items[:MOST_SHOWN]):
        yield facts(item=f"{number}: {_found(item) or item['status']}", **cost_facts(item["solver"]))
        yield from _rail(item)
        yield _table(item)
    if len(items) > MOST_SHOWN:
        yield f"the first {MOST_SHOWN} of {len(items)} items; --json and --out have all of them"


def _rail(item: dict[str, Any]) -> "Iterator[RenderableType]":
    """Where accepted steps ended, from the start of the interval to how far it came."""
    times = [item["start"]["t"], *(step["t"] for step in item["steps"] if step["accepted"])] if item["start"] else []
    if len(times) > 1 and times[0] != times[-1]:
        line = ["-"] * (RAIL + 1)
        for t in times:
            line[round(RAIL * (t - times[0]) / (times[-1] - times[0]))] = "|"
        yield f"t {times[0]:g} {''.join(line)} {times[-1]:g}"


def _table(item: dict[str, Any]) -> "Table":
    from rich.text import Text

    from service.commands.console import plain_table

    table = plain_table("step", "t", "dt", "error ratio", "", "found there")
    for column in table.columns[:4]:
        column.justify = "right"
    if item["start"]:
        table.add_row("", f"{item['start']['t']:.4f}", "", "", "start", _found(item["start"]))
    for number, step in enumerate(item["steps"], 1):
        ratio = "-" if step["error_ratio"] is None else f"{step['error_ratio']:.3g}"
        outcome = Text("accepted", "green") if step["accepted"] else Text("rejected", "red")
        table.add_row(str(number), f"{step['t']:.4f}", f"{step['dt']:.4f}", ratio, outcome, _found(step))
    return table


def _found(place: dict[str, Any]) -> str:
    """What an item was, or would be had it ended there."""
    if place.get("label") is not None:
        return f"{place['label']} ({100 * max(place['probabilities']):.1f} %)"
    words = [f"log density {place['log_density']:.4f}"] if place.get("log_density") is not None else []
    for name in ("sample", "position", "velocity", "log_det", "output"):
        if place.get(name) is not None:
            words.append(f"{name.replace('_', ' ')} {_numbers(place[name])}")
    return ", ".join(words)


def _numbers(value: Any) -> str:
    if not isinstance(value, list):
        return f"{value:.4f}" if isinstance(value, float) else str(value)
    some = [f"{one:.3f}" if isinstance(one, float) else "..." for one in value[:MOST_NUMBERS]]
    return f"({', '.join(some)}{', ...' if len(value) > MOST_NUMBERS else ''})"


_COLUMNS = ("item", "step", "t", "dt", "accepted", "error_ratio")


def _rows(items: "Sequence[dict[str, Any]]") -> "Iterator[tuple[Any, ...]]":
    for number, item in enumerate(items):
        for place, step in enumerate(item["steps"], 1):
            yield number, place, step["t"], step["dt"], step["accepted"], step["error_ratio"]
