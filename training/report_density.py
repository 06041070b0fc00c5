"""The report's sections on densities: continuous flows beside planar ones, and a table of proteins."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from training.data import TOYS, generator
from training.pictures import picture, shown
from training.toy_densities import TOY_DENSITIES

Record = dict[str, Any]
Records = dict[str, Record]

GRID_SIDE = 64
SAMPLES = 600
TABLE = "protein"


def toys(records: Records, pictures: Path) -> str:
    """Continuous normalizing flows beside planar ones on the plane."""
    runs = {toy: _runs_of(records, toy) for toy in TOY_DENSITIES}
    runs = {toy: found for toy, found in runs.items() if found}
    if not runs:
        return ""
    labels = sorted({label for found in runs.values() for label in found}, key=_order)
    lines = [
        "| | entropy | " + " | ".join(labels) + " |",
        "|---|---|" + "---|" * len(labels),
    ]
    for toy, found in runs.items():
        entropy = next(iter(found.values()))["entropy"]
        cells = [_nll(found[label]) if label in found else "-" for label in labels]
        lines.append(f"| {toy} | {entropy:.3f} | {' | '.join(cells)} |")
    _draw_densities(runs, labels, pictures / "densities.png")
    _draw_samples(runs, labels, pictures / "samples.png")
    _draw_paths(runs, pictures / "paths.png")
    return "\n".join(
        [
            "## Continuous against planar normalizing flows",
            "",
            "Mean negative log-likelihood of 10,000 test points in nats, and in brackets the gap: how far a model's",
            "log-density is below the generator's own at these points, on average, with the standard error of that.",
            "Of no model the expected gap, a Kullback-Leibler divergence, is below 0. The entropies are quadratures of",
            "the generators' densities.",
            "",
            *lines,
            "",
            _trained(runs, labels),
            "",
            shown(pictures, "densities.png", "densities"),
            "",
            "Samples:",
            "",
            shown(pictures, "samples.png", "samples"),
            "",
            "Samples of the continuous flows on their way from the normal distribution (t = 0) to the data (t = 1):",
            "",
            shown(pictures, "paths.png", "samples along t"),
            "",
        ]
    )


def protein(records: Records, pictures: Path) -> str:
    """A table with heavy tails, beside discrete flows."""
    runs = {name: r["metrics"] for name, r in records.items() if r["metrics"]["data"] == TABLE}
    if not runs:
        return ""
    lines = ["| run | | epochs | parameters | test log-density ± standard error |", "|---|---|---|---|---|"]
    for name, metrics in sorted(runs.items(), key=lambda item: item[1]["test"]["log_density_standardised"]):
        test = metrics["test"]
        lines.append(
            f"| {name} | {_recipe(metrics)} | {metrics['epochs'] or '-'} "
            f"| {metrics['parameters']:,} "
            f"| {test['log_density_standardised']:+.3f} ± {test['standard_error']:.3f} |"
        )
    with picture(pictures / "protein.png", 1, 1, (5.4, 3.4)) as axes:
        axis = axes[0][0]
        for name, metrics in runs.items():
            if metrics["history"]:
                epochs = [epoch["epoch"] for epoch in metrics["history"]]
                axis.plot(epochs, [-epoch["held_nll_standardised"] for epoch in metrics["history"]], label=name)
        axis.set(xlabel="epoch", ylabel="held-out log-density, nats", ylim=(-2, None))
        axis.legend()
    return "\n".join(
        [
            "## A table: protein",
            "",
            "UCI protein without duplicate rows, eight columns, the test rows of fold 0; nats in standardised units,",
            "exact trace. Gaussian, MAF and NSF (zuko's) see the standardised columns as they are; a continuous flow's",
            "`--warp` draws heavy tails in first, and its Jacobian is counted.",
            "",
            *lines,
            "",
            shown(pictures, "protein.png", "held-out log-density by epoch"),
            "",
        ]
    )


def _recipe(metrics: Record) -> str:
    if metrics["family"] != "cnf":
        return "maximum likelihood"
    words = [f"width {metrics['hidden'][0]}", metrics["objective"].replace("-", " ")]
    return ", ".join(words + ["warp"] * metrics["warp"])


def _runs_of(records: Records, toy: str) -> dict[str, Record]:
    """Metrics by the column they stand in."""
    found = {}
    for record in records.values():
        metrics = record["metrics"]
        if metrics["data"] == toy:
            found["CNF" if metrics["family"] == "cnf" else f"planar, K = {metrics['layers']}"] = metrics
    return found


def _order(label: str) -> tuple[bool, int]:
    return label == "CNF", int(label.rpartition(" ")[2]) if label != "CNF" else 0


def _nll(metrics: Record) -> str:
    test = metrics["test"]
    return f"{-test['log_density']:.3f} ({test['gap']:+.3f} ± {test['gap_standard_error']:.3f})"


def _trained(runs: dict[str, dict[str, Record]], labels: list[str]) -> str:
    """Size and length of training of each column."""
    said = []
    for label in labels:
        found = [of_toy[label] for of_toy in runs.values() if label in of_toy]
        sizes, epochs = (_range(metrics[key] for metrics in found) for key in ("parameters", "epochs"))
        said.append(f"{label}: {sizes} parameters, {epochs} epochs")
    return f"An epoch is 100,000 fresh points. {'; '.join(said)}."


def _range(values: Iterable[int]) -> str:
    known = sorted(set(values))
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,} to {known[-1]:,}"


def _draw_densities(runs: dict[str, dict[str, Record]], labels: list[str], path: Path) -> None:
    with picture(path, len(runs), 1 + len(labels), (1.8, 1.9)) as axes:
        for row, (toy, found) in zip(axes, runs.items(), strict=True):
            truth = _truth(toy)
            for axis, label in zip(row, ["data", *labels], strict=True):
                axis.set_axis_off()
                axis.set_title(label, fontsize=8)
                grid = truth if label == "data" else found[label]["grid"]["density"] if label in found else None
                if grid is not None:
                    axis.imshow(grid, origin="lower", vmin=0, vmax=float(np.quantile(truth, 0.995)), cmap="magma")
            row[0].set_title(f"{toy}: data", fontsize=8)


def _truth(toy: str) -> Any:
    density = TOY_DENSITIES[toy]
    axis = (np.arange(GRID_SIDE) + 0.5) * (2 * density.reach / GRID_SIDE) - density.reach
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return np.exp(density.log_density(points)).reshape(GRID_SIDE, GRID_SIDE)


def _draw_samples(runs: dict[str, dict[str, Record]], labels: list[str], path: Path) -> None:
    with picture(path, len(runs), 1 + len(labels), (1.8, 1.9)) as axes:
        for row, (toy, found) in zip(axes, runs.items(), strict=True):
            drawn = {label: metrics["path"][-1]["points"] for label, metrics in found.items()}
            drawn["data"] = TOYS[toy](generator(0, 12), SAMPLES).tolist()
            for axis, label in zip(row, ["data", *labels], strict=True):
                axis.set_title(label, fontsize=8)
                if label in drawn:
                    _scatter(axis, drawn[label], TOY_DENSITIES[toy].reach)
            row[0].set_title(f"{toy}: data", fontsize=8)


def _scatter(axis: Any, points: list[list[float]], reach: float) -> None:
    axis.scatter(*zip(*points, strict=True), s=1, color="tab:blue")
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])


def _draw_paths(runs: dict[str, dict[str, Record]], path: Path) -> None:
    continuous = {toy: found["CNF"]["path"] for toy, found in runs.items() if "CNF" in found}
    if not continuous:
        return
    columns = max(len(states) for states in continuous.values())
    with picture(path, len(continuous), columns, (1.8, 1.9)) as axes:
        for row, (toy, states) in zip(axes, continuous.items(), strict=True):
            reach = TOY_DENSITIES[toy].reach
            for axis, state in zip(row, states, strict=True):
                _scatter(axis, state["points"], reach)
                axis.set_title(
                    f"{toy}, t = {state['t']:g}" if state is states[0] else f"t = {state['t']:g}", fontsize=8
                )
