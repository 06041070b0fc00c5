"""The report's sections on classifiers: Table 1, Figure 3, Euler steps, and what makes a model cheap to serve."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from training.pictures import picture, shown

Record = dict[str, Any]
Records = dict[str, Record]

PAPER = {
    "mlp": ("1-layer MLP", "1.60 %", "0.24 M"),
    "resnet": ("ResNet", "0.41 %", "0.60 M"),
    "rknet": ("RK-Net", "0.47 %", "0.22 M"),
    "odenet": ("ODE-Net", "0.42 %", "0.22 M"),
}
"""Name, test error and parameters in Table 1 of Chen et al. 2018."""
TABLE_TOL = 1e-3
PLAIN = "odenet-mnist-plain"
RKNET = "rknet-mnist"
COMPARED = "compare-"
HALF = "bfloat16"
SHIPPED = ("odenet-mnist", "odenet-fashion")
SERVED_TOL = 1e-2
EQUAL_LOGIT_ERROR = 0.03


def table_one(records: Records, pictures: Path) -> str:
    """Error, size, memory and time of the paper's four networks."""
    rows = [
        (name, record["metrics"])
        for family in PAPER
        for name, record in records.items()
        if record["metrics"]["family"] == family
        and record["metrics"]["data"] == "mnist"
        and not name.startswith(COMPARED)
    ]
    if not rows:
        return ""
    lines = [
        "## Table 1: MNIST",
        "",
        "The same data, augmentation and course of the learning rate over so many epochs, and but for the MLP the",
        "same stem; ODE-Net and RK-Net solved by dopri5 at tol 1e-3. Kept is what autograd keeps of a batch of 128",
        "for its backward pass, with stem and head: by the adjoint for every ODE-Net, also for one that was trained",
        "through the solver's steps (ernode). Times are those of that batch on one CPU core. The precision of the",
        "training stands in the records' commands.",
        "",
        "| run | | epochs | test error | paper | parameters | paper | kept | forward | backward | NFE |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, metrics in rows:
        label, error, size = PAPER[metrics["family"]]
        test, gradient = _at_table_tol(metrics)
        nfe = "-" if "tolerances" not in metrics else f"{_row(metrics, TABLE_TOL)['nfe']:.0f}"
        trained = "" if metrics["family"] not in ("odenet", "rknet") else f", {_training(metrics)}"
        lines.append(
            f"| {name} | {label}{trained} | {metrics['epochs']} | {_percent(test)} | {error} "
            f"| {metrics['parameters'] / 1e6:.2f} M | {size} "
            f"| {gradient['bytes_kept'] / 2**20:.1f} MiB | {1e3 * gradient['seconds_forward']:.3g} ms "
            f"| {1e3 * gradient['seconds_backward']:.3g} ms | {nfe} |"
        )
    return "\n".join([*lines, ""])


def memory(records: Records, pictures: Path) -> str:
    """Bytes kept for the backward pass against the tolerance: the adjoint's are flat."""
    if PLAIN not in records:
        return ""
    rows = records[PLAIN]["metrics"]["tolerances"]
    through = records.get(RKNET, records[PLAIN])["metrics"]["tolerances"]
    adjoint = [row["adjoint"]["solve_bytes_kept"] / 2**20 for row in rows]
    stored = [row["through"]["solve_bytes_kept"] / 2**20 for row in through]
    with picture(pictures / "memory.png", 1, 1, (4.6, 3.0)) as axes:
        axis = axes[0][0]
        axis.loglog([row["tol"] for row in through], stored, "s-", label="through the solver (RK-Net)")
        axis.loglog([row["tol"] for row in rows], adjoint, "o-", label="adjoint (ODE-Net)")
        axis.set(xlabel="tolerance", ylabel="MiB kept by the solve, batch of 128")
        axis.invert_xaxis()
        axis.legend()
    spread = max(adjoint) / min(adjoint) - 1
    return f"""## Memory against depth

Through the solver what is kept grows from {stored[0]:.0f} MiB at tol {_tol(through[0])} to {stored[-1]:.0f} MiB at \
{_tol(through[-1])}; by the adjoint it stays at {adjoint[0]:.1f} MiB, within {100 * spread:.1f} %.

{shown(pictures, "memory.png", "bytes kept against tolerance")}
"""


def figure_three(records: Records, pictures: Path) -> str:
    """The four panels of the paper's Figure 3, and whether they show the same."""
    if PLAIN not in records:
        return ""
    metrics = records[PLAIN]["metrics"]
    rows = metrics["tolerances"]
    epochs = metrics["history"][: len(metrics["history"]) - metrics["last_epochs"]]
    nfe = np.array([row["nfe"] for row in rows])
    seconds = np.array([row["seconds_per_batch"] for row in rows])
    forward = np.array([row["adjoint"]["nfe_forward"] for row in rows])
    backward = np.array([row["adjoint"]["nfe_backward"] for row in rows])
    numerical = [(row["nfe"], row["logit_error_rms"]) for row in rows if row["logit_error_rms"]]
    with picture(pictures / "figure3.png", 1, 4, (2.9, 2.7)) as axes:
        a, b, c, d = axes[0]
        a.loglog(*zip(*numerical, strict=True), "o-")
        a.set(title="a", xlabel="NFE", ylabel="logit error, RMS")
        a.set_xticks(nfe[:-1], [f"{count:.0f}" for count in nfe[:-1]])
        a.minorticks_off()
        b.plot(nfe, seconds, "o-")
        b.set(title="b", xlabel="NFE", ylabel="seconds a batch, forward")
        c.plot(forward, backward, "o-", label="found")
        c.plot(forward, forward / 2, ":", color="grey", label="half (the paper)")
        c.set(title="c", xlabel="NFE forward", ylabel="NFE backward")
        c.legend()
        d.plot([epoch["epoch"] for epoch in epochs], [epoch["nfe_forward"] for epoch in epochs], "o-")
        d.set(
            title="d",
            xlabel="epoch",
            ylabel=f"NFE forward, {metrics['solvers'][0]}",
            ylim=(0, 1.3 * max(epoch["nfe_forward"] for epoch in epochs)),
        )
    errors = [row["error"] for row in rows]
    per_evaluation = seconds / nfe
    ratio = backward / forward
    return f"""## Figure 3: what an ODE-Net's solver does

{shown(pictures, "figure3.png", "the four panels")}

a. From tol {_tol(rows[0])} to {_tol(rows[-2])} the numerical error falls by a factor of \
{numerical[0][1] / numerical[-1][1]:.0f}, as the paper finds. The test error hardly follows: it lies between \
{100 * min(errors):.2f} and {100 * max(errors):.2f} %, a difference of {100 * (max(errors) - min(errors)):.2f} points.

b. Time is proportional to NFE, as in the paper: {1e3 * per_evaluation.min():.1f} to \
{1e3 * per_evaluation.max():.1f} ms an evaluation of a batch of 128.

c. The paper finds about half as many evaluations backward as forward. Here it is {ratio.min():.2f} to \
{ratio.max():.2f} times as many{_seminorm(ratio)}.

d. NFE {_grows(epochs)} during training: {epochs[0]["nfe_forward"]:.1f} in the first epoch, \
{epochs[-1]["nfe_forward"]:.1f} in epoch {epochs[-1]["epoch"]} ({metrics["solvers"][0]}, joint over the batch).
"""


def _seminorm(ratio: Any) -> str:
    if ratio.max() < 0.75:
        return ": the same finding"
    return "; how many depends on the norm of the backward solve, which here leaves out the parameters' gradients"


def _grows(epochs: list[dict[str, float]]) -> str:
    change = epochs[-1]["nfe_forward"] / epochs[0]["nfe_forward"]
    return "grows" if change > 1.05 else "falls" if change < 0.95 else "hardly changes"


def euler_steps(records: Records, pictures: Path) -> str:
    """A residual network as Euler steps: the ODE-Net run with fixed steps."""
    if PLAIN not in records:
        return ""
    metrics = records[PLAIN]["metrics"]
    euler, adaptive = metrics["euler"], metrics["tolerances"]
    with picture(pictures / "euler.png", 1, 2, (4.0, 2.8)) as axes:
        for axis, key, scale, says in (
            (axes[0][0], "logit_error_rms", 1, "logit error, RMS"),
            (axes[0][1], "error", 100, "test error, %"),
        ):
            for points, cost, label in ((euler, "steps", "Euler"), (adaptive, "nfe", "dopri5, adaptive")):
                drawn = [(point[cost], scale * point[key]) for point in points if point[key]]
                axis.plot(*zip(*drawn, strict=True), "o-", label=label)
            axis.set(xlabel="NFE", ylabel=says, xscale="log", yscale="log" if scale == 1 else "linear")
            axis.legend()
    lines = ["| Euler steps | test error | logit error, RMS |", "|---|---|---|"]
    lines += [f"| {row['steps']} | {_percent(row)} | {row['logit_error_rms']:.3g} |" for row in euler]
    return "\n".join(
        [
            "## A residual network as Euler steps",
            "",
            "x + f(x) is a step of Euler's method. The same weights, walked with fixed steps:",
            "",
            *lines,
            "",
            shown(pictures, "euler.png", "Euler steps beside the adaptive solve"),
            "",
        ]
    )


def regularisers(records: Records, pictures: Path) -> str:
    """What makes a model cheap to serve: the runs that differ in one thing."""
    compared = {name: r["metrics"] for name, r in records.items() if name.startswith(COMPARED)}
    if not compared:
        return ""
    with picture(pictures / "regularisers.png", 1, 1, (5.4, 3.6)) as axes:
        axis = axes[0][0]
        for metrics in compared.values():
            if any(_differ_in_precision(one, metrics) for one in compared.values()):
                continue  # its twin in float32 is drawn
            cheapest = _cheapest(metrics["serving"])
            half = metrics["precision"][0] == HALF
            label = f"{_training(metrics)}, {HALF}" if half else _training(metrics)
            axis.loglog(*zip(*cheapest, strict=True), "o:" if half else "o-", label=label, markersize=3)
        axis.axhline(EQUAL_LOGIT_ERROR, color="grey", linestyle=":")
        axis.set(xlabel="NFE of an image, the cheaper of bosh3 and dopri5", ylabel="logit error, RMS")
        axis.legend()
    lines = [
        f"| run | | epochs | trained in | held-out error | NFE at a logit error of {EQUAL_LOGIT_ERROR:g} "
        "| NFE of a training step |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, metrics in compared.items():
        last, at_equal = metrics["history"][-1], _nfe_at(metrics["serving"], EQUAL_LOGIT_ERROR)
        served = "-" if at_equal is None else f"{at_equal:.1f}"
        lines.append(
            f"| {name} | {_training(metrics)} | {metrics['epochs']} | {metrics['precision'][0]} "
            f"| {100 * last['held_error']:.2f} % "
            f"| {served} | {last['nfe_forward']:.1f} + {last['nfe_backward']:.1f} |"
        )
    return "\n".join(
        [
            "## Models made for serving",
            "",
            "What is served is solved image by image, each with its own steps. These runs differ in the regulariser,",
            "the field's activation, and the precision that their networks were trained in. Held-out error is that of",
            "5,000 images, solved jointly: differences of 0.2 points are within the noise. Evaluations are those of",
            "1,000 images, one by one.",
            "",
            *lines,
            "",
            shown(pictures, "regularisers.png", "error against evaluations"),
            "",
        ]
    )


def served(records: Records, pictures: Path) -> str:
    """The classifiers that ship beside the plain one: test error, and evaluations an image."""
    runs = {name: records[name]["metrics"] for name in (PLAIN, *SHIPPED) if name in records}
    if not runs.keys() & set(SHIPPED):
        return ""
    lines = [
        "| run | | epochs | data | test error | NFE at 1e-2: bosh3 | dopri5 | NFE at a logit error of "
        f"{EQUAL_LOGIT_ERROR:g} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, metrics in runs.items():
        test, at_equal = _row(metrics, TABLE_TOL), _nfe_at(metrics["serving"], EQUAL_LOGIT_ERROR)
        nfe = {row["method"]: row["nfe"] for row in metrics["serving"] if row["tol"] == SERVED_TOL}
        lines.append(
            f"| {name} | {_training(metrics)} | {metrics['epochs']} | {metrics['data']} | {_percent(test)} "
            f"| {nfe['bosh3']:.1f} | {nfe['dopri5']:.1f} | {'-' if at_equal is None else f'{at_equal:.1f}'} |"
        )
    return "\n".join(
        [
            "## What ships",
            "",
            "Test error at tol 1e-3 (10,000 images); evaluations of 1,000 held-back images, each with its own steps,",
            "the first of which is tried over the whole interval. A server begins with the step that a model's",
            "calibration found: what it charges stands in the model's table, not here.",
            "",
            *lines,
            "",
        ]
    )


def precision(records: Records, pictures: Path) -> str:
    """What computing the networks in bfloat16 saves, and what it does to the error: runs that differ in that alone."""
    runs = [r["metrics"] for name, r in records.items() if name.startswith(COMPARED)]
    pairs = [(one, half) for half in runs for one in runs if _differ_in_precision(one, half)]
    if not pairs:
        return ""
    lines = [
        "| run | networks in | epochs so | held-out loss then | held-out error then | at the end | seconds a step |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        epochs = pair[1]["epochs"] - pair[1]["last_epochs"]
        for metrics in pair:
            then, last = metrics["history"][epochs - 1], metrics["history"][-1]
            name = metrics["precision"][0]
            errors = " | ".join(f"{100 * epoch['held_error']:.2f} %" for epoch in (then, last))
            lines.append(
                f"| {_training(metrics)} | {name} | {epochs} | {then['held_loss']:.4f} | {errors} "
                f"| {pair[0]['step_seconds'][name]:.2f} |"
            )
    return "\n".join(
        [
            "## bfloat16",
            "",
            "The same ODE-Net, its networks computed in float32 or, by autocast, in bfloat16. States, step sizes and",
            "error norms keep their own precision either way, scores are float32, and so are the last epochs of all.",
            "Seconds: steps with the trained weights in either precision, taken in turn.",
            "",
            *lines,
            "",
        ]
    )


def _differ_in_precision(one: dict[str, Any], half: dict[str, Any]) -> bool:
    """Whether a run is a bfloat16 run's twin in float32."""
    same = ("family", "data", "epochs", "solvers", "regularize", "regularize_weight", "activation")
    return one["precision"][0] != half["precision"][0] == HALF and all(one[name] == half[name] for name in same)


def _cheapest(serving: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """(NFE, error) of what no other method and tolerance beats in both, by NFE."""
    points = sorted((row["nfe"], row["logit_error_rms"]) for row in serving if not row["failed"])
    best, kept = math.inf, []
    for nfe, error in points:
        if error < best:
            best = error
            kept.append((nfe, error))
    return kept


def _nfe_at(serving: list[dict[str, Any]], error: float) -> float | None:
    """NFE at an error, between two of the cheapest points in the logarithms; None where it is not reached."""
    points = _cheapest(serving)
    for (n0, e0), (n1, e1) in itertools.pairwise(points):
        if e1 <= error <= e0:
            share = math.log(e0 / error) / math.log(e0 / e1)
            return math.exp((1 - share) * math.log(n0) + share * math.log(n1))
    return points[0][0] if points and points[0][1] < error else None


def _at_table_tol(metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Test score and cost of a gradient, at Table 1's tolerance where there is one."""
    if "tolerances" in metrics:
        row = _row(metrics, TABLE_TOL)
        return row, row["gradient"]
    return metrics["test"], metrics["gradient"]


def _row(metrics: dict[str, Any], tol: float) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in metrics["tolerances"] if row["tol"] == tol)
    return found


def _training(metrics: dict[str, Any]) -> str:
    """What sets a run apart."""
    words = [] if metrics["regularize"] == "none" else [_regulariser(metrics)]
    words += [] if metrics["activation"] == "relu" else [metrics["activation"]]
    return " and ".join(words) or "plain"


def _regulariser(metrics: dict[str, Any]) -> str:
    kind = str(metrics["regularize"])
    return kind if kind == "steer" else f"{kind} {metrics['regularize_weight']:g}"


def _percent(score: dict[str, Any]) -> str:
    return f"{100 * score['error']:.2f} % ({100 * score['low']:.2f} to {100 * score['high']:.2f})"


def _tol(row: dict[str, Any]) -> str:
    return f"{row['tol']:.0e}".replace("e-0", "e-")
