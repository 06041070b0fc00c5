"""The report's sections on what makes a classifier cheap to serve, and on those that ship."""

import itertools
import math
from pathlib import Path

from training.evaluate import wilson_interval
from training.pictures import picture, shown
from training.report_precision import HALF, differ_in_precision
from training.report_rows import COMPARED, PLAIN, Record, Records, percent, precision_of, training_of

SHIPPED = ("odenet-mnist", "odenet-fashion")
SERVED_TOL = 1e-2
EQUAL_LOGIT_ERRORS = (0.1, 0.03)
AUTO_ERROR_FACTOR, REFERENCE_METHOD = 1.25, "dopri5"
"""Of the service's method=auto."""


def regularisers(records: Records, pictures: Path) -> str:
    """What makes a model cheap to serve: the runs that differ in one thing."""
    compared = {name: r["metrics"] for name, r in records.items() if name.startswith(COMPARED)}
    if not compared:
        return ""
    # Of twins the one in float32 is drawn and judged.
    whole = {
        name: metrics
        for name, metrics in compared.items()
        if not any(differ_in_precision(one, metrics) for one in compared.values())
    }
    _draw(list(whole.values()), pictures / "regularisers.png")
    equal = " | ".join(f"NFE at a logit error of {error:g}" for error in EQUAL_LOGIT_ERRORS)
    lines = [
        f"| run | | epochs | trained in | held-out error | {equal} | NFE of a training step |",
        "|---|---|---|---|---|" + "---|" * len(EQUAL_LOGIT_ERRORS) + "---|",
    ]
    for name, metrics in compared.items():
        last = metrics["history"][-1]
        at_equal = " | ".join(_said(_nfe_at(metrics["serving"], error)) for error in EQUAL_LOGIT_ERRORS)
        lines.append(
            f"| {name} | {training_of(metrics)} | {metrics['epochs']} | {precision_of(metrics)} "
            f"| {_held_error(metrics)} | {at_equal} | {last['nfe_forward']:.1f} + {last['nfe_backward']:.1f} |"
        )
    return "\n".join(
        [
            "## Models made for serving",
            "",
            "What is served is solved image by image, each with its own steps, the first as calibration finds it.",
            "These runs differ in the regulariser, the field's activation, and the precision that their networks were",
            "trained in. Held-out error is that of images held back from training, solved jointly. Evaluations are",
            "those of 1,000 of these images, one by one, by the cheapest method.",
            "",
            *lines,
            "",
            _verdict(list(whole.values()), records),
            "",
            shown(pictures, "regularisers.png", "error against evaluations"),
            "",
        ]
    )


def _draw(runs: list[Record], path: Path) -> None:
    with picture(path, 1, 1, (5.4, 3.6)) as axes:
        axis = axes[0][0]
        for metrics in runs:
            half = metrics["precision"][0] == HALF
            label = f"{training_of(metrics)}, {HALF}" if half else training_of(metrics)
            points = zip(*_cheapest(metrics["serving"]), strict=True)
            axis.loglog(*points, "o:" if half else "o-", label=label, markersize=3)
        for error in EQUAL_LOGIT_ERRORS:
            axis.axhline(error, color="grey", linestyle=":")
        axis.set(xlabel="NFE of an image, by the cheapest method", ylabel="logit error, RMS")
        axis.legend()


def _held_error(metrics: Record) -> str:
    error, count = metrics["history"][-1]["held_error"], metrics["held_items"]
    low, high = wilson_interval(round(error * count), count)
    return percent({"error": error, "low": low, "high": high})


def _verdict(runs: list[Record], records: Records) -> str:
    """Which runs are the cheapest, whether their errors can be told apart, and what was trained in full."""
    said, cheapest = [], {}
    for error in EQUAL_LOGIT_ERRORS:
        costs = sorted((nfe, training_of(run)) for run in runs if (nfe := _nfe_at(run["serving"], error)) is not None)
        if costs:
            told = ", ".join(f"{label} {nfe:.1f}" for nfe, label in costs)
            said.append(f"At a logit error of {error:g}, by evaluations: {told}.")
            cheapest[error] = costs[0][1]
    counts = [(round(run["history"][-1]["held_error"] * run["held_items"]), run["held_items"]) for run in runs]
    highest = max(wilson_interval(*count)[0] for count in counts)
    lowest = min(wilson_interval(*count)[1] for count in counts)
    if highest > lowest:
        said.append("The intervals of some held-out errors do not meet: error decides too.")
    else:
        said.append("The intervals of all held-out errors meet: these runs differ in cost alone.")
    for label in sorted({training_of(records[name]["metrics"]) for name in SHIPPED if name in records}):
        where = " and ".join(f"{error:g}" for error, cheap in cheapest.items() if cheap == label) or "neither"
        said.append(f"What ships was trained with: {label}. Of the runs compared it is the cheapest at {where}.")
    return "\n".join(said)


def served(records: Records, pictures: Path) -> str:
    """The classifiers that ship beside the plain one: test error, and evaluations an image."""
    runs = {name: records[name]["metrics"] for name in (PLAIN, *SHIPPED) if name in records}
    if not runs.keys() & set(SHIPPED):
        return ""
    plain = _served_by(runs[PLAIN], REFERENCE_METHOD)["nfe"] if PLAIN in runs else None
    lines = [
        f"| run | | epochs | data | test error at {SERVED_TOL:g} | method | NFE | of plain by {REFERENCE_METHOD} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, metrics in runs.items():
        automatic = auto_method(metrics["serving"], SERVED_TOL)
        for method in dict.fromkeys((REFERENCE_METHOD, automatic)) if name == PLAIN else (automatic,):
            row = _served_by(metrics, method)
            share = "-" if plain is None else f"{100 * row['nfe'] / plain:.0f} %"
            chosen = f"{method} (auto)" if method == automatic else method
            lines.append(
                f"| {name} | {training_of(metrics)} | {metrics['epochs']} | {metrics['data']} | {percent(row)} "
                f"| {chosen} | {row['nfe']:.1f} | {share} |"
            )
    return "\n".join(
        [
            "## What ships",
            "",
            "The test set as a server answers it: each image with its own steps, the first as calibration finds it, by",
            "the method that `method=auto` stands for.",
            "",
            *lines,
            "",
        ]
    )


def _served_by(metrics: Record, method: str) -> Record:
    found: Record = next(row for row in metrics["served"] if row["method"] == method)
    return found


def auto_method(serving: list[Record], tol: float) -> str:
    """The method that the service's `method=auto` stands for.

    Source: docs/automatic.md.
    """
    rows = {row["method"]: row for row in serving if row["tol"] == tol}
    bound = AUTO_ERROR_FACTOR * rows[REFERENCE_METHOD]["logit_error_p99"]
    good = [row for row in rows.values() if row["logit_error_p99"] <= bound]
    return str(min(good, key=lambda row: (row["nfe"], row["logit_error_p99"]))["method"])


def _cheapest(serving: list[Record]) -> list[tuple[float, float]]:
    """(NFE, error) of what no other method and tolerance beats in both, by NFE."""
    points = sorted((row["nfe"], row["logit_error_rms"]) for row in serving if not row["failed"])
    best, kept = math.inf, []
    for nfe, error in points:
        if error < best:
            best = error
            kept.append((nfe, error))
    return kept


def _nfe_at(serving: list[Record], error: float) -> float | None:
    """NFE at an error, between two of the cheapest points in the logarithms; None where it is not reached."""
    points = _cheapest(serving)
    for (n0, e0), (n1, e1) in itertools.pairwise(points):
        if e1 <= error <= e0:
            share = math.log(e0 / error) / math.log(e0 / e1)
            return math.exp((1 - share) * math.log(n0) + share * math.log(n1))
    return points[0][0] if points and points[0][1] < error else None


def _said(nfe: float | None) -> str:
    return "-" if nfe is None else f"{nfe:.1f}"
