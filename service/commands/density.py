"""`odeserve density`: how probable points are."""

import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import options
from service.commands.asking import Asking, asks
from service.commands.ending import ExitCode
from service.commands.examples import examples
from service.commands.files import Kind, argument, points_in, read_file
from service.commands.writing import Out, Results, check_out, write_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

EPILOG = examples(
    "odeserve density examples/points.csv",
    "odeserve density --model cnf-pinwheel --tol 1e-6 --out log_density.npy examples/points.csv",
    "echo 0.5,1.0 | odeserve density --tol 1e-4 --json -",
    "odeserve density --model cnf-protein --probes 16 --seed 1 --local - < proteins.csv",
)
MOST_SHOWN, MOST_COLUMNS = 10, 4
File = Annotated[Path, argument("CSV or .npy with a point a row, or a JSON body of /density")]


@asks()
def density(
    file: File,
    probes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Estimate the trace with so many random probes a point.", rich_help_panel=options.SOLVER
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the probes; drawn when missing.", rich_help_panel=options.SOLVER)
    ] = None,
    *,
    asking: Asking,
    out: Out = None,
) -> None:
    """Log-densities of points, in nats and the points' own units.

    Tables go to the server 5,000 rows at a time, so they may be of any length; --json then has a line for each 5,000.
    """
    check_out(out, ".npy", ".csv", ".json")
    if seed is not None and probes is None:
        raise typer.BadParameter("only with --probes", param_hint="--seed")
    parts = list(points_in(read_file(file, Kind.TABLE, Kind.NPY, Kind.JSON)))
    from service.commands.console import counting, facts, show, waiting
    from service.commands.solves import costs_together, of_model

    query = asking.query | {"trace": "hutchinson" if probes else None, "probes": probes, "seed": seed}
    program = "log_density_hutchinson" if probes else "log_density"
    answers: list[Any] = []
    rows: list[Any] = [row for part in parts for row in part.rows]
    with (
        asking.connected(program) as server,
        counting("points", len(rows)) if len(parts) > 1 else waiting("solving") as done,
    ):
        for part in parts:
            answer = server.post("/density", query, part.content, part.media_type)
            answers.append(answer.document)
            if asking.as_json:
                typer.echo(answer.content)
            if done:
                done(part.first + len(part.rows))
    items = [item for answer in answers for item in answer["predictions"]]
    if not asking.as_json:
        show(
            of_model(answers[0], items[0]),
            _table(rows, items),
            facts(**_summary(items), **costs_together(items, answers)),
        )
    write_out(out, _results(rows, items, answers))
    if any(item["status"] != "ok" for item in items):
        raise typer.Exit(ExitCode.FAILED)


def _table(rows: "Sequence[Any]", items: "Sequence[Any]") -> "Table":
    from service.commands.console import plain_table
    from service.commands.solves import steps

    dimensions = min(len(rows[0]), MOST_COLUMNS) if rows else 0
    estimated = any(item.get("log_density_std_error") is not None for item in items)
    names = [f"x{number}" for number in range(1, dimensions + 1)]
    table = plain_table(*names, "log density", *(["std error"] if estimated else []), "NFE", "steps", "status")
    for column in table.columns[:-1]:
        column.justify = "right"
    for row, item in zip(rows or [[]] * len(items), items[:MOST_SHOWN], strict=False):
        value, error = item["log_density"], item.get("log_density_std_error")
        table.add_row(
            *(f"{x:.4g}" for x in row[:dimensions]),
            "-" if value is None else f"{value:.5f}",
            *([] if not estimated else ["-" if error is None else f"{error:.3g}"]),
            str(item["solver"]["nfe"]),
            steps(item["solver"]),
            item["status"],
        )
    if len(items) > MOST_SHOWN:
        table.caption = f"the first {MOST_SHOWN} of {len(items):,}; --out writes all of them"
        table.caption_justify = "left"
    return table


def _summary(items: "Sequence[Any]") -> dict[str, str]:
    values = [item["log_density"] for item in items if item["log_density"] is not None]
    if not values:
        return {"points": f"{len(items):,}"}
    return {
        "points": f"{len(items):,}",
        "mean": f"{fmean(values):.5g}",
        "least": f"{min(values):.5g}",
        "most": f"{max(values):.5g}",
    }


def _results(rows: "Sequence[Any]", items: "Sequence[Any]", answers: "Sequence[Any]") -> Results:
    def table() -> tuple[list[str], list[list[Any]]]:
        costs = ("method", "rtol", "atol", "nfe", "accepted", "rejected", "error_estimate")
        names = [f"x{number}" for number in range(1, len(rows[0]) + 1)] if rows else []
        told = ["log_density", "log_density_std_error", "status"]
        points = rows or [[]] * len(items)
        return [*names, *told, *costs], [
            [*point, *(item.get(name) for name in told), *(item["solver"][cost] for cost in costs)]
            for point, item in zip(points, items, strict=True)
        ]

    def array() -> list[float]:
        return [math.nan if item["log_density"] is None else item["log_density"] for item in items]

    return Results(answers, table, array)
