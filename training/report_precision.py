"""The report's section on bfloat16."""

from pathlib import Path
from typing import Any

from training.report_rows import COMPARED, Records, training_of

HALF = "bfloat16"


def precision(records: Records, pictures: Path) -> str:
    """What computing the networks in bfloat16 saves, and what it does to the error: runs that differ in that alone."""
    runs = [r["metrics"] for name, r in records.items() if name.startswith(COMPARED)]
    pairs = [(one, half) for half in runs for one in runs if differ_in_precision(one, half)]
    if not pairs:
        return ""
    lines = [
        "| run | networks in | epochs so | held-out loss then | held-out error then | at the end | time of a step |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        epochs = pair[1]["epochs"] - pair[1]["last_epochs"]
        for metrics in pair:
            then, last = metrics["history"][epochs - 1], metrics["history"][-1]
            name = metrics["precision"][0]
            errors = " | ".join(f"{100 * epoch['held_error']:.2f} %" for epoch in (then, last))
            lines.append(
                f"| {training_of(metrics)} | {name} | {epochs} | {then['held_loss']:.4f} | {errors} "
                f"| {pair[0]['step_seconds'][name] / pair[0]['step_seconds']['float32']:.2f} |"
            )
    return "\n".join(
        [
            "## bfloat16",
            "",
            "The same ODE-Net, its networks computed in float32 or, by autocast, in bfloat16. States, step sizes and",
            "error norms keep their own precision either way, scores are float32, and so are the last epochs of all.",
            "Time: medians of steps with the trained weights in either precision, taken in turn, over float32's.",
            "",
            *lines,
            "",
        ]
    )


def differ_in_precision(one: dict[str, Any], half: dict[str, Any]) -> bool:
    """Whether a run is a bfloat16 run's twin in float32."""
    same = ("family", "data", "epochs", "solvers", "regularize", "regularize_weight", "activation")
    return one["precision"][0] != half["precision"][0] == HALF and all(one[name] == half[name] for name in same)
