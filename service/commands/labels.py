"""Classifications as people read them, and as tables and arrays for files."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.commands.console import bar, facts, plain_table, width
from service.commands.solves import cost_facts, of_model, steps
from service.commands.writing import Results

Answers = Sequence[tuple[str, dict[str, Any]]]
"""What was asked about, and what the server said."""

MOST_CLASSES = 10
STABLE = {True: "yes", False: "no", None: "-"}


def items(answers: Answers) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, prediction and answer of each item."""
    for name, answer in answers:
        predictions = answer["predictions"]
        for number, prediction in enumerate(predictions):
            yield name if len(predictions) == 1 else f"{name}#{number}", prediction, answer


def shown(answers: Answers) -> list[RenderableType]:
    """One picture with all that is known of it, several as a table."""
    every = list(items(answers))
    if len(every) == 1:
        return _alone(*every[0])
    return [_table(every)] if every else []


def _alone(name: str, prediction: dict[str, Any], answer: dict[str, Any]) -> list[RenderableType]:
    title = Text.assemble((f"{name}: ", "bold"), (prediction["label"] or prediction["status"], "bold cyan"))
    lines: list[RenderableType] = [title, of_model(answer, prediction)]
    if prediction["probabilities"]:
        lines.append(_probabilities(prediction["label"], prediction["index"], prediction["probabilities"]))
    solver = prediction["solver"]
    lines.append(
        facts(stable=STABLE[prediction["stable"]], **cost_facts(solver), time=f"{answer['timing_ms']['total']:.3g} ms")
    )
    if solver.get("attempts"):
        lines.append(_attempts(solver["attempts"]))
    return lines


def _probabilities(label: str, index: int, probabilities: Sequence[float]) -> Table:
    """The most probable classes. The server names the winner; the others are known by their numbers."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(justify="right")
    ranked = sorted(range(len(probabilities)), key=lambda one: -probabilities[one])[:MOST_CLASSES]
    for one in sorted(ranked):
        winner = one == index
        name = label if winner else f"class {one}" if label != str(index) else str(one)
        style = "bold cyan" if winner else ""
        share = probabilities[one]
        table.add_row(Text(f"  {name}", style), bar(share, 30), Text(f"{100 * share:.2f} %", style))
    return table


def _attempts(attempts: Sequence[dict[str, Any]]) -> Table:
    table = plain_table("tried tol", "method", "NFE", "steps", "status")
    for tried in attempts:
        table.add_row(f"{tried['tol']:g}", tried["method"], str(tried["nfe"]), steps(tried), tried["status"])
    return table


def _table(every: Sequence[tuple[str, dict[str, Any], dict[str, Any]]]) -> Table:
    """What is less asked for is left out where it does not fit."""
    answered, columns = every[0][2], width()
    tol, all_of_it = columns >= 80, columns >= 95
    heads = ["picture", "label", "probability", "", "stable", *(["tol"] if tol else []), "NFE"]
    heads += [*(["steps", "est. error"] if all_of_it else []), "ms"]
    table = plain_table(*heads, title=f"{answered['model']}@{answered['version']}")
    for number, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "left" if number < 3 else "right"
    for name, prediction, answer in every:
        solver, winner = prediction["solver"], max(prediction["probabilities"] or [0.0])
        label = Text(prediction["label"] or prediction["status"], "bold cyan" if prediction["label"] else "red")
        table.add_row(
            Text(name),
            label,
            bar(winner, 10),
            f"{100 * winner:.1f} %",
            STABLE[prediction["stable"]],
            *([f"{solver['rtol']:g}"] if tol else []),
            str(solver["nfe"]),
            *([steps(solver), f"{solver['error_estimate']:.2g}"] if all_of_it else []),
            f"{answer['timing_ms']['total']:.3g}",
        )
    return table


def results(answers: Answers) -> Results:
    """For --out: probabilities, NaN where there are none."""

    def table() -> tuple[list[str], list[list[Any]]]:
        fields = ("label", "index", "stable", "status")
        costs = ("method", "rtol", "atol", "nfe", "accepted", "rejected", "error_estimate")
        rows = [
            [name, *(item[field] for field in fields), *(item["solver"][cost] for cost in costs), *_row(item, classes)]
            for name, item, _ in items(answers)
        ]
        return ["item", *fields, *costs, *(f"probability_{one}" for one in range(classes))], rows

    found = [item["probabilities"] for _, item, _ in items(answers) if item["probabilities"]]
    classes = max(map(len, found), default=0)
    return Results(
        [answer for _, answer in answers], table, lambda: [_row(item, classes) for _, item, _ in items(answers)]
    )


def _row(item: dict[str, Any], classes: int) -> list[float]:
    return item["probabilities"] or [float("nan")] * classes
