"""The report's Table 1, memory against depth, and the Euler steps."""

from pathlib import Path

from training.pictures import picture, shown
from training.report_rows import (
    COMPARED,
    PLAIN,
    RKNET,
    TABLE_TOL,
    Records,
    at_table_tol,
    percent,
    precision_of,
    row_at,
    tol_of,
    training_of,
)

PAPER = {
    "mlp": ("1-layer MLP", "1.60 %", "0.24 M"),
    "resnet": ("ResNet", "0.41 %", "0.60 M"),
    "rknet": ("RK-Net", "0.47 %", "0.22 M"),
    "odenet": ("ODE-Net", "0.42 %", "0.22 M"),
}
"""Name, test error and parameters in Table 1 of Chen et al. 2018."""


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
        "The same data and augmentation, the same course of the learning rate over so many epochs, and but for the MLP",
        "the same stem; ODE-Net and RK-Net solved by dopri5 at tol 1e-3. Kept is what autograd keeps of a batch of 128",
        "for its backward pass, with stem and head, by the way the run was trained: the adjoint for a plain ODE-Net,",
        "through the solver's steps for RK-Net and ernode. Times are those of that batch on one CPU core.",
        "",
        "| run | | epochs | trained in | test error | paper | parameters | paper | kept | forward | backward | NFE |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, metrics in rows:
        label, error, size = PAPER[metrics["family"]]
        test, gradient = at_table_tol(metrics)
        nfe = "-" if "tolerances" not in metrics else f"{row_at(metrics, TABLE_TOL)['nfe']:.0f}"
        trained = "" if metrics["family"] not in ("odenet", "rknet") else f", {training_of(metrics)}"
        lines.append(
            f"| {name} | {label}{trained} | {metrics['epochs']} | {precision_of(metrics)} | {percent(test)} | {error} "
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

Through the solver what is kept grows from {stored[0]:.0f} MiB at tol {tol_of(through[0])} to {stored[-1]:.0f} MiB at \
{tol_of(through[-1])}; by the adjoint it stays at {adjoint[0]:.1f} MiB, within {100 * spread:.1f} %.

{shown(pictures, "memory.png", "bytes kept against tolerance")}
"""


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
    lines += [f"| {row['steps']} | {percent(row)} | {row['logit_error_rms']:.3g} |" for row in euler]
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
