"""The report's Figure 3: what an ODE-Net's solver does, and whether that is what the paper found."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from training.pictures import picture, shown
from training.report_rows import PLAIN, Records, tol_of

PROPORTIONAL, HALF_WITHIN = 1.5, 0.25


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
    per_evaluation = 1e3 * seconds / nfe
    return f"""## Figure 3: what an ODE-Net's solver does

{shown(pictures, "figure3.png", "the four panels")}

a. The paper: a tighter tolerance makes the numerical error smaller. Here, from tol {tol_of(rows[0])} to \
{tol_of(rows[-2])}, it {_falls(numerical)}. The test error lies between {100 * min(errors):.2f} and \
{100 * max(errors):.2f} %, a difference of {100 * (max(errors) - min(errors)):.2f} points.

b. The paper: time is proportional to NFE. Here an evaluation of a batch of 128 takes {per_evaluation.min():.1f} to \
{per_evaluation.max():.1f} ms: {_proportional(per_evaluation)}.

c. The paper: about half as many evaluations backward as forward. Here {_backward(backward / forward)}.

d. The paper: NFE grows during training. Here it {_grows(epochs)}: {epochs[0]["nfe_forward"]:.1f} in the first epoch, \
{epochs[-1]["nfe_forward"]:.1f} in epoch {epochs[-1]["epoch"]} ({metrics["solvers"][0]}, joint over the batch).
"""


def _falls(numerical: list[tuple[float, float]]) -> str:
    errors = [error for _, error in numerical]
    if all(tighter < looser for looser, tighter in itertools.pairwise(errors)):
        return f"falls at every step, {errors[0] / errors[-1]:.0f} times in all: the same finding"
    return f"does not fall at every step, {errors[0] / errors[-1]:.2g} times in all: not the same finding"


def _proportional(per_evaluation: Any) -> str:
    spread = per_evaluation.max() / per_evaluation.min()
    if spread < PROPORTIONAL:
        return "proportional but for the noise of the timing, the same finding"
    return f"{spread:.1f} times as long at one end of the ladder as at the other, so not quite proportional"


def _backward(ratio: Any) -> str:
    found = f"{ratio.min():.2f} to {ratio.max():.2f} times as many"
    same = abs(ratio - 0.5).max() < HALF_WITHIN
    return f"{found}: the same finding" if same else f"{found}: not the same finding, and why is not shown here"


def _grows(epochs: list[dict[str, float]]) -> str:
    change = epochs[-1]["nfe_forward"] / epochs[0]["nfe_forward"]
    return "grows too" if change > 1.05 else "falls" if change < 0.95 else "hardly changes"
