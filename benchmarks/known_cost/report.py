"""Tables and picture of recorded predictions."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def write(folder: Path) -> None:
    """known-cost.md and known-cost.png from known-cost.json."""
    recorded = json.loads((folder / "known-cost.json").read_text())
    (folder / "known-cost.md").write_text(_markdown(recorded))
    _picture(recorded, folder / "known-cost.png")


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = (" | ".join(str(cell) for cell in row) for row in rows)
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {row} |" for row in cells), ""]


def _markdown(recorded: dict[str, Any]) -> str:
    lines = [
        "# What is said beforehand, and what came",
        "",
        f"{recorded['items']:,} test images of each set, which calibration never saw; then a server under load.",
        "",
        "![predicted and observed](known-cost.png)",
        "",
    ]
    for name, figures in recorded["models"].items():
        lines += _model(name, figures, recorded["reference_items"])
        lines += [_between(recorded["between"][name], recorded["between_items"]), ""]
    lines += ["## tol=auto on pictures that are no digits", "", "`odenet-mnist`, 1,000 pictures each.", ""]
    lines += _automatic(recorded["no digits"])
    lines += _load(recorded["load"], recorded["images_per_request"])
    lines += [f"{recorded['machine']}; {recorded['date']}; {recorded['versions']}.", ""]
    return "\n".join(lines)


def _model(name: str, figures: dict[str, Any], fewer: int) -> list[str]:
    lines = [f"## {name}", "", "Evaluations an image, with `method=auto`:", ""]
    lines += _table(
        ("tol", "method", "predicted mean", "observed", "off by", "predicted p99", "images beyond it"),
        (
            (
                f"{row['tol']:g}",
                row["method"],
                f"{row['predicted_mean']:.2f}",
                f"{row['observed_mean']:.2f}",
                f"{row['observed_mean'] / row['predicted_mean'] - 1:+.1%}",
                f"{row['predicted_p99']:.0f}",
                f"{row['over_p99']:.2%}",
            )
            for row in figures["nfe"]
        ),
    )
    lines += ["`tol=auto`:", "", *_automatic({name: figures["auto"]})]
    lines += ["`stable: true`, against the label at the tightest tolerance:", ""]
    lines += _table(
        ("tol", "called stable", "agree, if stable", "agree, all"),
        (
            (f"{r['tol']:g}", f"{r['stable']:.2%}", f"{r['agree_if_stable']:.3%}", f"{r['agree']:.2%}")
            for r in figures["stable"]
        ),
    )
    lines += [f"`method=auto` beside dopri5, {fewer:,} images, error against float64:", ""]
    lines += _table(
        ("tol", "auto is", "NFE", "NFE of dopri5", "p99 error, logits", "of dopri5", "ratio"),
        (
            (
                f"{r['tol']:g}",
                r["method"],
                f"{r['nfe']:.1f}",
                f"{r['nfe_dopri5']:.1f}",
                f"{r['error_p99']:.2g}",
                f"{r['error_p99_dopri5']:.2g}",
                f"{r['error_ratio']:.2f}",
            )
            for r in figures["method"]
        ),
    )
    return lines


def _between(rows: list[dict[str, Any]], images: int) -> str:
    """The worst of what was found between the table's rows."""
    off = [abs(row["observed_mean"] / row["predicted_mean"] - 1) for row in rows]
    dearer = [row["observed_mean"] / row["nfe_dopri5"] - 1 for row in rows]
    worst, beyond = rows[max(range(len(rows)), key=off.__getitem__)], max(row["over_p99"] for row in rows)
    return (
        f"Between the rows, {len(rows)} tolerances, {images:,} images: predicted and observed mean differ by at most "
        f"{max(off):.1%} (at {worst['tol']:g}), half of them by at most {sorted(off)[len(off) // 2]:.1%}; at most "
        f"{beyond:.2%} of the images take more than the predicted p99; `method=auto` takes at most "
        f"{max(0.0, *dearer):.1%} more evaluations than dopri5."
    )


def _automatic(rows: dict[str, dict[str, Any]]) -> list[str]:
    return _table(
        ("images", "label of the tightest tolerance", "NFE over the loosest", "tries, mean", "most", "never stable"),
        (
            (
                name,
                f"{row['label_of_the_tightest']:.2%}",
                f"{row['nfe_over_loosest']:.3f}",
                f"{row['tries_mean']:.3f}",
                row["tries_most"],
                f"{row['never_stable']:.2%}",
            )
            for name, row in rows.items()
        ),
    )


def _load(load: dict[str, Any], images: int) -> list[str]:
    predicted, deadlines, hopeless = load["predicted_ms"], load["deadlines"], load["hopeless"]
    lines = [
        "## Under load",
        "",
        f"Requests of {images} images at random times, tolerances {', '.join(load['tols'])} alike, `odenet-mnist`;",
        f"the client on the same machine. It is answered {load['capacity_per_second']:g} requests a second at most.",
        "At 70 % of that:",
        "",
        f"- predicted milliseconds are off by {predicted['off_by_median']:.0%} of those taken (median), "
        + ", ".join(f"{off:.0%} at {tol}" for tol, off in predicted["off_by_median_by_tol"].items())
        + f"; predicted over taken: median {predicted['median']:.2f}, 80 % of requests between "
        f"{predicted['p10']:.2f} and {predicted['p90']:.2f};",
        f"- deadlines of 10 to 320 ms: {deadlines['refused_at_once']:.1%} refused at once, of which "
        f"{deadlines['refused_but_feasible']:.1%} took no longer when the same traffic came without deadlines; "
        f"{deadlines['kept_of_those_let_in']:.2%} of the others kept by the server's clock, "
        f"{deadlines['kept_by_the_clients_clock']:.2%} by the client's;",
        f"- a deadline of 1 ms, which cannot be: refused after {hopeless['p50_ms']:g} ms (median), "
        f"{hopeless['p99_ms']:g} ms (p99).",
        "",
        "At 150 %, and beside it 70 %:",
        "",
    ]
    lines += _table(
        ("", "answered", "429", "p50", "p99"),
        (
            (
                name,
                f"{row['answered']:.1%}",
                row["refused_429"],
                f"{row['p50_ms']:.0f} ms",
                f"{row['p99_ms']:.0f} ms",
            )
            for name, row in (
                ("150 %, with max_tol", load["overload with max_tol"]),
                ("150 %, without", load["overload without"]),
                ("70 %", load["at 70 %"]),
            )
        ),
    )
    lines += ["What the requests with `max_tol=1e-1` were solved at, and what that does to the error:", ""]
    lines += _table(
        ("asked", "used", "p99 error as asked", "p99 error as used, mean over requests"),
        (
            (
                tol,
                ", ".join(f"{used} ({count})" for used, count in row["used"].items()),
                row["asked_p99"],
                row["used_p99"],
            )
            for tol, row in load["traded"].items()
        ),
    )
    return lines


def _picture(recorded: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    for name, figures in recorded["models"].items():
        rows = sorted(figures["nfe"] + recorded["between"][name], key=lambda row: -row["tol"])
        (line,) = axes[0].plot(
            [r["tol"] for r in rows], [r["predicted_mean"] for r in rows], label=f"{name}, predicted"
        )
        axes[0].plot([r["tol"] for r in rows], [r["observed_mean"] for r in rows], "o", color=line.get_color(), ms=4)
    axes[0].set(title="evaluations an image: predicted, observed (dots)", xlabel="tol", xscale="log", yscale="log")
    axes[0].invert_xaxis()
    axes[0].legend(fontsize="small")
    method = recorded["models"]["odenet-mnist"]["method"]
    for key, label in (("error_p99", "method=auto"), ("error_p99_dopri5", "dopri5")):
        nfe = "nfe" if key == "error_p99" else "nfe_dopri5"
        axes[1].plot([r[nfe] for r in method], [r[key] for r in method], "o-", ms=3, label=label)
    axes[1].set(title="odenet-mnist: p99 error over NFE", xlabel="NFE", ylabel="logits", xscale="log", yscale="log")
    axes[1].legend(fontsize="small")
    load = recorded["load"]
    for name in ("with max_tol", "without"):
        times = load[f"overload {name}"]["times_ms"]
        axes[2].plot(times, [k / (len(times) - 1) for k in range(len(times))], label=name)
    axes[2].set(title="150 % load: share answered within", xlabel="ms", xscale="log")
    axes[2].legend(fontsize="small")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
