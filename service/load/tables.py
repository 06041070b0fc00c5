"""What people read of a bench."""

from typing import Any

from rich.table import Table

MISHAPS = ("refused", "too_late", "failed", "loosened")


def bench_table(figures: dict[str, Any]) -> Table:
    """A row for each tolerance, and one for all."""
    title = (
        f"{figures['model']} {figures['route']}: {figures['rate']:g} requests a second for {figures['seconds']:g} s, "
        f"{figures['answered_per_second']:g} a second answered"
    )
    # What did not happen takes no column: the rest then fits into eighty characters.
    happened = [column for column in MISHAPS if figures["all"][column]]
    columns = ("sent", "ok", *happened, "nfe_mean", "p50_ms", "p90_ms", "p99_ms", "max_ms")
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("tol", *columns):
        head = column.removesuffix("_mean").removesuffix("_ms").replace("_", " ")
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in (*figures["by_tol"].items(), ("all", figures["all"])):
        table.add_row(name, *(_number(row[column]) for column in columns))
    table.caption = "p50 to max in ms, from the intended time" + ("" if happened else "; all requests were answered")
    table.caption_justify = "left"
    return table


def _number(value: float | None) -> str:
    """Whole, or with as many digits as say something."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
