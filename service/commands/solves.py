"""What solving took, in the words that every command uses for it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.text import Text


def steps(solver: dict[str, Any]) -> str:
    """Accepted and rejected."""
    return f"{solver['accepted']}+{solver['rejected']}"


def of_model(answer: dict[str, Any], item: dict[str, Any]) -> Text:
    """Who answered, and how it solved."""
    solver = item["solver"]
    tol = (
        f"tol {solver['rtol']:g}"
        if solver["rtol"] == solver["atol"]
        else f"rtol {solver['rtol']:g}, atol {solver['atol']:g}"
    )
    return Text(f"{answer['model']}@{answer['version']}, {solver['method']} at {tol}", "dim")


def cost_facts(solver: dict[str, Any]) -> dict[str, str]:
    """Of one item."""
    known = {
        "NFE": str(solver["nfe"]),
        "steps": f"{solver['accepted']} accepted, {solver['rejected']} rejected",
        "error_estimate": f"{solver['error_estimate']:.2g}",
    }
    calibrated = solver["calibrated_error"]
    return known | ({"calibrated_p99_error": f"{calibrated['p99']:.2g} {calibrated['unit']}"} if calibrated else {})


def costs_together(items: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Of several items."""
    nfe = [item["solver"]["nfe"] for item in items]
    calibrated = items[0]["solver"]["calibrated_error"]
    failed = sum(item["status"] != "ok" for item in items)
    return {
        "NFE": f"{fmean(nfe):.3g} an item, {max(nfe)} at most",
        **({"calibrated_p99_error": f"{calibrated['p99']:.2g} {calibrated['unit']}"} if calibrated else {}),
        "time": f"{sum(answer['timing_ms']['total'] for answer in answers):.4g} ms",
        **({"failed": str(failed)} if failed else {}),
    }
