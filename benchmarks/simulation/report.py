"""Table and pictures of a recorded simulation."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

SHOWN_LOAD = 0.9


def write(folder: Path) -> None:
    """scheduling.md and scheduling.png from scheduling.json."""
    recorded = json.loads((folder / "scheduling.json").read_text())
    (folder / "scheduling.md").write_text(_markdown(recorded))
    _picture(recorded, folder / "scheduling.png")


def _name(patience: float | str) -> str:
    return "first come" if patience == 0 else f"K = {patience:g}" if isinstance(patience, float) else patience


def _markdown(recorded: dict[str, Any]) -> str:
    traffic, largest = recorded["traffic"], str(max(recorded["traffic"]["items"]))
    shown = [row["requests"] for row in recorded["runs"]]
    lines = [
        "# Order of the queue, simulated",
        "",
        f"{recorded['requests']:,} requests through the engine's own queue, scheduler and lane tables on simulated",
        f"time, {min(shown):,} to {max(shown):,} for each order at each load, the first fifth of each run left out.",
        f"{recorded['shards']} shards; step times as measured on the machine below, attempts drawn as the calibration",
        "table of `odenet-mnist` has them. A load of 1 is what the shards can do in steps of full width.",
        "",
        f"Traffic: tolerances {_mix(traffic['tols'], traffic['tol_rates'])}; items a request",
        f"{_mix(traffic['items'], traffic['item_rates'])}; {traffic['deadline_share']:.0%} with a deadline from",
        f"{1e3 * traffic['deadlines'][0]:g} to {1e3 * traffic['deadlines'][1]:g} ms, {traffic['max_tol_share']:.0%}",
        f"with `max_tol={traffic['max_tol']:g}`.",
        "",
        "![time by load and order](scheduling.png)",
    ]
    for load in (0.7, SHOWN_LOAD, 1.2):
        lines += ["", f"## Load {load:g}", "", _header(recorded, largest), "|---" * 11 + "|"]
        lines += [_row(row, largest) for row in recorded["runs"] if row["load"] == load]
    lines += ["", f"{recorded['machine']}; {recorded['date']}; {recorded['versions']}.", ""]
    return "\n".join(lines)


def _mix(values: list[float], rates: list[float]) -> str:
    return ", ".join(f"{value:g} ({rate:.1%})" for value, rate in zip(values, rates, strict=True))


def _header(recorded: dict[str, Any], largest: str) -> str:
    tols = recorded["runs"][0]["by_tol"]
    names = [f"p99 at {tol}" for tol in tols]
    return (
        "| order | mean, 1 item | "
        + " | ".join(names)
        + f" | p50, {largest} items | p90 (requests) "
        + ("| deadlines missed | loosened | refused (429) |")
    )


def _row(row: dict[str, Any], largest: str) -> str:
    p99 = [f"{times['p99']:.0f} ms" if times else "-" for times in row["by_tol"].values()]
    one, big = row["by_items"]["1"], row["by_items"].get(largest, {})
    cells = [
        _name(row["patience"]),
        f"{one['mean']:.1f} ms",
        *p99,
        f"{big['p50']:.0f} ms" if big else "-",
        f"{big['p90']:.0f} ms ({big['count']:.0f})" if big else "-",
        f"{row['deadlines_missed']:.2%}",
        f"{row['loosened']:.1%}",
        f"{row['queue_full']:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _picture(recorded: dict[str, Any], path: Path) -> None:
    largest = str(max(recorded["traffic"]["items"]))
    panels: list[tuple[str, Callable[[dict[str, Any]], float], bool]] = [
        ("one item: p99, ms", lambda row: row["by_items"]["1"]["p99"], True),
        ("one item: mean, ms", lambda row: row["by_items"]["1"]["mean"], True),
        (f"{largest} items: p90, ms", lambda row: row["by_items"].get(largest, {}).get("p90", math.nan), True),
        ("deadlines missed, %", lambda row: 100 * row["deadlines_missed"], False),
        ("loosened, % of those that allow it", lambda row: 100 * row["loosened"], False),
        ("refused with 429, %", lambda row: 100 * row["queue_full"], False),
    ]
    patiences = list(dict.fromkeys(row["patience"] for row in recorded["runs"]))
    colours = mpl.colormaps["viridis"]([k / max(1, len(patiences) - 1) for k in range(len(patiences))])
    figure, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained")
    for axis, (title, value, logarithmic) in zip(axes.flat, panels, strict=True):
        for patience, colour in zip(patiences, colours, strict=True):
            rows = [row for row in recorded["runs"] if row["patience"] == patience]
            axis.plot(
                [row["load"] for row in rows],
                [value(row) for row in rows],
                "o-",
                ms=3,
                color=colour,
                label=_name(patience),
            )
        axis.set(title=title, xlabel="load")
        if logarithmic:
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
