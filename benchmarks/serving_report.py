"""Tables and picture of a recorded serving benchmark."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def write(folder: Path) -> None:
    """serving.md and serving.png from serving.json."""
    recorded = json.loads((folder / "serving.json").read_text())
    (folder / "serving.md").write_text(_markdown(recorded))
    _picture(recorded, folder / "serving.png")


def _markdown(recorded: dict[str, Any]) -> str:
    results = recorded["results"]
    own = results["odeserve"]
    lines = [
        "# Serving under load",
        "",
        "28x28 images as JSON, the same trained weights. 64 clients ask again as soon as they are answered, at 1e-1,",
        "1e-2, 1e-3 and 1e-4 in turn; then one client at 1e-2. wrk on the same machine. Rivals in their best",
        "configuration; all take turns and medians of the rounds are given.",
        "",
        "| server | answers a second | p50 | p99 | errors | one client, p50 "
        "| ours: answers | ours: p99 | ours: one client |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        ratios = (
            ("-", "-", "-")
            if name == "odeserve"
            else (
                f"{own['per_second'] / row['per_second']:.2f} times",
                f"{own['p99'] / row['p99']:.2f} of it",
                f"{own['single_p50'] / row['single_p50']:.2f} of it",
            )
        )
        lines.append(
            f"| {name} | {row['per_second']:.0f} | {row['p50']:.0f} ms | {row['p99']:.0f} ms | {row['errors']:.0f} "
            f"| {row['single_p50']:.1f} ms | {' | '.join(ratios)} |"
        )
    lines += ["", *(f"Not measured: {note}." for note in recorded["skipped"]), "", "## More clients", ""]
    lines += ["| clients | answers a second | p50 | p99 | errors |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['clients']} | {row['per_second']:.0f} | {row['p50']:.0f} ms | {row['p99']:.0f} ms | {row['errors']} |"
        for row in recorded["clients"]
    ]
    lines += [
        "",
        "## Every configuration of the rivals",
        "",
        "| server | answers a second | p99 | errors |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['per_second']:.0f} | {row['p99']:.0f} ms | {row['errors']} |"
        for row in recorded["sweep"]
    ]
    lines += [
        "",
        "A configuration with more threads than free cores collapses where several solves run at once: their OpenMP",
        "teams fight. Errors are mostly time-outs after 10 s.",
        "",
        "![answers a second and waiting](serving.png)",
        "",
        f"{recorded['machine']}; {recorded['versions']}; {recorded['date']}. Made by `make bench`.",
        "",
    ]
    return "\n".join(lines)


def _picture(recorded: dict[str, Any], path: Path) -> None:
    results = recorded["results"]
    names = [name.replace(", ", "\n", 1) for name in results]
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), constrained_layout=True, sharey=True)
    for axis, key, title in (
        (axes[0], "per_second", "answers a second, 64 clients"),
        (axes[1], "p99", "99 % wait less than, ms"),
    ):
        values = [row[key] for row in results.values()]
        bars = axis.barh(names, values, color=["#2b6cb0", *["#a0aec0"] * (len(values) - 1)])
        axis.bar_label(bars, fmt="%.0f", padding=3)
        axis.set_xlim(0, 1.15 * max(values))
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=150)
    plt.close(figure)
