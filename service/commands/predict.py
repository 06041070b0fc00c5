"""`odeserve predict`: what a model of one's own makes of its inputs."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.asking import Asking, asks
from service.commands.ending import ExitCode
from service.commands.examples import examples
from service.commands.files import File, Kind, argument, array_of, read_file
from service.commands.writing import Out, Results, check_out, write_out

if TYPE_CHECKING:
    from rich.table import Table

EPILOG = examples(
    "odeserve predict --model spring - < states.csv",
    "odeserve predict --model spring --at 0.5 --at 1.0 --out answers.npy - < states.npy",
    "echo '{\"input\": [1.0, 0.0]}' | odeserve predict --model spring --json -",
)
MOST_SHOWN, MOST_CHARACTERS = 10, 200
Inputs = Annotated[Path, argument("CSV or .npy with an input a row, or a JSON body of /predict")]


@asks()
def predict(
    file: Inputs,
    at: Annotated[
        list[float] | None, typer.Option(help="A time to answer at; may be repeated. Default: the interval's end.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of what the model draws.")] = None,
    *,
    asking: Asking,
    out: Out = None,
) -> None:
    """Ask a model of your own, at the end of its interval or at times within it."""
    check_out(out, ".npy", ".json")
    body = _body(read_file(file, Kind.TABLE, Kind.NPY, Kind.JSON), at, seed)
    from service.commands.console import facts, show, waiting
    from service.commands.solves import costs_together, of_model

    query = asking.query
    with (
        asking.connected("predict") as server,
        waiting("solving"),
    ):
        answer = server.post("/predict", query, body, Kind.JSON)
    items = answer.document["predictions"]
    if asking.as_json:
        typer.echo(answer.content)
    else:
        line = facts(items=f"{len(items):,}", **costs_together(items, [answer.document]))
        show(of_model(answer.document, items[0]), _table(answer.document), line)
    write_out(out, Results([answer.document], lambda: ([], []), lambda: _array(items)))
    if any(item["status"] != "ok" for item in items):
        raise typer.Exit(ExitCode.FAILED)


def _body(file: File, at: list[float] | None, seed: int | None) -> bytes:
    """Errors: BadParameter."""
    further = ({"t": at} if at else {}) | ({} if seed is None else {"seed": seed})
    if file.kind is not Kind.JSON:
        return json.dumps({"inputs": array_of(file).tolist(), **further}).encode()
    if not further:
        return file.content
    try:
        given = json.loads(file.content)
    except ValueError as error:
        raise file.wrong(f"expected JSON: {error}") from error
    if not isinstance(given, dict):
        raise file.wrong('expected a JSON body, {"inputs": [...]}')
    return json.dumps({**given, **further}).encode()


def _table(answer: dict[str, Any]) -> "Table":
    from service.commands.console import plain_table
    from service.commands.solves import steps

    times, items = answer.get("t"), answer["predictions"]
    table = plain_table("item", *(["t"] if times else []), "output", "NFE", "steps", "status")
    for number, item in enumerate(items[:MOST_SHOWN]):
        solver = item["solver"]
        tail = (str(solver["nfe"]), steps(solver), item["status"])
        if not times:
            table.add_row(str(number), _short(item["output"]), *tail)
            continue
        for place, t in enumerate(times):
            output = _short(item["output"] and item["output"][place])
            first = place == 0
            table.add_row(str(number) if first else "", f"{t:g}", output, *(tail if first else ("", "", "")))
    if len(items) > MOST_SHOWN:
        table.caption = f"the first {MOST_SHOWN} of {len(items):,}; --out writes all of them"
    return table


def _short(output: Any) -> str:
    text = json.dumps(_rounded(output))
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."


def _rounded(output: Any) -> Any:
    """Numbers to five digits, however they are nested."""
    if isinstance(output, float):
        return float(f"{output:.5g}")
    if isinstance(output, list):
        return [_rounded(one) for one in output]
    return {name: _rounded(one) for name, one in output.items()} if isinstance(output, dict) else output


def _array(items: list[dict[str, Any]]) -> Any:
    """Shapes: -> [item, ...]. Ends the command for outputs that are no single array."""
    import numpy as np

    outputs = [item["output"] for item in items]
    if any(isinstance(output, dict) for output in outputs):
        raise typer.BadParameter("the model has several outputs; expected .json", param_hint="--out")
    whole = [output for output in outputs if output is not None and not _gaps(output)]
    shape = np.shape(whole[0]) if whole else ()
    return np.stack([_filled(output, shape) for output in outputs])


def _gaps(output: Any) -> bool:
    """Whether times are missing that the item did not come to."""
    return isinstance(output, list) and any(one is None for one in output)


def _filled(output: Any, shape: tuple[int, ...]) -> Any:
    """NaN for what is missing. Shapes: -> shape."""
    import numpy as np

    if output is None:
        return np.full(shape, math.nan)
    if _gaps(output):
        return np.stack([_filled(one, shape[1:]) for one in output])
    return np.array(output, float)
