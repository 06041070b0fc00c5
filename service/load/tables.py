"""What people read of a bench."""

from typing import Any

from rich.table import Table


def bench_table(figures: dict[str, Any]) -> Table:
    """A row for each tolerance, and one for all."""
    title = (
        f"{figures['model']} {figures['route']}: {figures['rate']:g} requests a second for {figures['seconds']:g} s, "
        f"{figures['answered_per_second']:g} a second answered"
    )
    columns = (
        "sent",
        "ok",
        "refused",
        "too_late",
        "failed",
        "loosened",
        "nfe_mean",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "max_ms",
    )
    heads = (column.removesuffix("_mean").replace("_", " ") for column in columns)
    table = Table("tol", *heads, title=title)
    for name, row in (*figures["by_tol"].items(), ("all", figures["all"])):
        table.add_row(name, *("-" if row[column] is None else f"{row[column]:g}" for column in columns))
    return table
