"""`odeserve sample`: points drawn from a density."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.asking import Asking, asks
from service.commands.ending import ExitCode
from service.commands.examples import examples
from service.commands.writing import Out, Results, check_out, write_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

EPILOG = examples(
    "odeserve sample --n 1000 --seed 7",
    "odeserve sample --model cnf-pinwheel --n 10000 --tol 1e-3 --out points.npy",
    "odeserve sample --local --n 3 --json",
)
MOST_SHOWN, MOST_COLUMNS, MANY = 5, 6, 100


@asks()
def sample(
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many.")] = 10,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Gives the same points again; drawn when missing.")
    ] = None,
    *,
    asking: Asking,
    out: Out = None,
) -> None:
    """Draw points from a density. The first of them do not depend on how many are asked for."""
    check_out(out, ".npy", ".csv", ".json")
    import json

    from service.commands.console import show, waiting

    query = asking.query
    body = {"n": n} | ({} if seed is None else {"seed": seed})
    with (
        asking.connected("sample") as server,
        waiting("drawing"),
    ):
        answer = server.post("/sample", query, json.dumps(body).encode(), "application/json")
    if asking.as_json:
        typer.echo(answer.content)
    else:
        show(*_shown(answer.document))
    write_out(out, _results(answer.document))
    if any(item["status"] != "ok" for item in answer.document["predictions"]):
        raise typer.Exit(ExitCode.FAILED)


def _shown(answer: dict[str, Any]) -> "list[RenderableType]":
    import numpy as np

    from service.commands.console import facts, plain_table, width
    from service.commands.scatter import scatter
    from service.commands.solves import costs_together, of_model

    points = _points(answer)
    table = plain_table("", *(f"x{number}" for number in range(1, min(points.shape[1], MOST_COLUMNS) + 1)))
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {str(number): row for number, row in enumerate(points[:MOST_SHOWN], 1)}
    fine = points[np.isfinite(points).all(1)]
    if len(fine) > 1:
        rows |= {"mean": fine.mean(0), "std": fine.std(0), "least": fine.min(0), "most": fine.max(0)}
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4f}" for value in row[:MOST_COLUMNS]))
    items = answer["predictions"]
    line = facts(points=f"{len(points):,}", seed=str(answer["seed"]), **costs_together(items, [answer]))
    picture = scatter(fine, width()) if fine.shape[1] == 2 and len(fine) >= MANY else None
    return [of_model(answer, items[0]), *([picture] if picture else []), table, line]


def _points(answer: dict[str, Any]) -> Any:
    """Shapes: -> [item, dimension], NaN for items that failed."""
    import numpy as np

    width = max((len(point) for point in answer["samples"] if point), default=1)
    return np.array([point or [math.nan] * width for point in answer["samples"]])


def _results(answer: dict[str, Any]) -> Results:
    def table() -> "tuple[list[str], Sequence[Sequence[Any]]]":
        points = _points(answer)
        return [f"x{number}" for number in range(1, points.shape[1] + 1)], points.tolist()

    return Results([answer], table, lambda: _points(answer))
