"""`odeserve tradeoff`: what each tolerance of a model costs and how wrong its answers are."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import options
from service.commands.ending import fail
from service.commands.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from service.commands.client import Client

EPILOG = examples(
    "odeserve tradeoff",
    "odeserve tradeoff cnf-pinwheel",
    "odeserve tradeoff odenet-mnist --method all",
    "odeserve tradeoff --local --json",
)
AUTO, ALL = "auto", "all"
BAR = 12
Row = dict[str, Any]


def tradeoff(
    model: Annotated[str | None, typer.Argument(help="name, or name@version; default: the first default.")] = None,
    method: Annotated[
        str, typer.Option(help="auto: at each tolerance the one that is taken when none is named; a method; or all.")
    ] = AUTO,
    url: options.Url = options.DEFAULT_URL,
    api_key: options.ApiKey = None,
    cacert: options.CaCert = None,
    local: options.Local = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what each tolerance costs and how wrong its answers are, from the model's calibration.

    NFE and errors were measured when the model was calibrated; ms is what the server predicts for one item alone.
    """
    from service.commands.client import Target, connected
    from service.commands.console import show

    with connected(Target(url, api_key, cacert, local), model=model, as_json=as_json) as server:
        name = model or default_model(server)
        curve = server.model(name, "/tradeoff")
        if as_json:
            typer.echo(curve.content)
            return
        described = server.model(name).document
    rows: list[Row] = curve.document["rows"]
    if not rows:
        fail(f"{name}: was never calibrated; odetrain calibrate measures what its tolerances cost")
    known = sorted({row["method"] for row in rows})
    if method not in (AUTO, ALL, *known):
        raise typer.BadParameter(
            f"expected auto, all or one of {', '.join(known)}; got {method!r}", param_hint="--method"
        )
    for program in dict.fromkeys(row["program"] for row in rows):
        spec = described["programs"][program]
        chosen = _chosen(spec, method)
        mine = [row for row in rows if row["program"] == program and chosen(row)]
        mine.sort(key=lambda row: (method == ALL and known.index(row["method"]), -row["tol"]))
        title = f"{described['name']}@{described['version']} {program}"
        show(_table(mine, spec, title))


def default_model(server: "Client") -> str:
    """The first model that answers when none is named, or just the first."""
    listed = server.get("/models").document["models"]
    if not listed:
        fail("no model is loaded")
    return str(min(listed, key=lambda entry: (not entry["default"], entry["task"] != "classify"))["name"])


def _chosen(spec: dict[str, Any], method: str) -> Any:
    """Whether a row is to be shown."""
    if method != AUTO:
        return lambda row: method in (ALL, row["method"])
    from node_model.manifest import ProgramSpec
    from service.engine.cost import CostTable

    cost = CostTable(ProgramSpec.model_validate_json(json.dumps(spec)))
    return lambda row: row["method"] == cost.cheapest_method(row["tol"], row["tol"])


@dataclass(frozen=True)
class _Shown:
    """A column: what stands in it, and from which width of the terminal on it is there."""

    head: str
    cell: "Callable[[Row], RenderableType]"
    least_width: int = 0
    bar: bool = False


def _columns(rows: "Sequence[Row]", spec: dict[str, Any]) -> list[_Shown]:
    from service.commands.console import bar

    most, errors = max(row["nfe_mean"] for row in rows), [row["error_p99"] for row in rows]
    unit, quality, default = rows[0]["unit"], spec["calibration"]["metric"], spec["tol"]["default"]
    columns = [
        _Shown("tol", lambda row: f"{'* ' if row['tol'] == default else ''}{row['tol']:g}"),
        _Shown("method", lambda row: str(row["method"])),
        _Shown("NFE", lambda row: f"{row['nfe_mean']:.1f}"),
        _Shown("p99", lambda row: f"{row['nfe_p99']:.0f}", 80),
        _Shown("ms", lambda row: f"{row['predicted_ms']:.3g}"),
        _Shown("cost", lambda row: bar(row["nfe_mean"] / most, BAR), 60, True),
        _Shown(f"p99 error, {unit}", lambda row: f"{row['error_p99']:.2g}"),
        _Shown("error", lambda row: bar(_decades(row["error_p99"], errors), BAR, "magenta"), 80, True),
    ]
    if any(row["metric"] is not None for row in rows):
        columns.append(_Shown(quality, lambda row: _quality(row["metric"], quality), 110))
    if any(row["agreement"] is not None for row in rows):
        columns.append(_Shown("as reference", lambda row: _share(row["agreement"]), 95))
    return columns


def _table(rows: "Sequence[Row]", spec: dict[str, Any], title: str) -> "Table":
    from service.commands.console import plain_table, width

    every = _columns(rows, spec)
    columns = [column for column in every if width() >= column.least_width]
    table = plain_table(*(column.head for column in columns), title=title)
    for column, shown in zip(table.columns, columns, strict=True):
        column.justify = "left" if shown.bar or shown.head == "method" else "right"
        column.no_wrap = not shown.bar
    for row in rows:
        table.add_row(*(column.cell(row) for column in columns))
    bars = "; bars: cost by NFE, error by its logarithm" if any(column.bar for column in columns) else ""
    narrow = "; wider terminals show more" if len(columns) < len(every) else ""
    table.caption = f"* the default{bars}{narrow}"
    table.caption_justify = "left"
    return table


def _decades(error: float, errors: "Sequence[float]") -> float:
    """How far an error is from a tenth of the least to the most, by its logarithm."""
    least = min((one for one in errors if one > 0), default=1.0) / 10
    if error <= least:
        return 0.0
    return math.log(error / least) / math.log(max(errors) / least)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.4g} %"


def _quality(value: float | None, name: str) -> str:
    return _share(value) if name == "accuracy" or value is None else f"{value:.4f}"
