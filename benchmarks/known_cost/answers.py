"""Predicted evaluations, tol=auto, stable and method=auto on test images, which calibration never saw."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from service.engine.engine import solve_alone
from service.engine.program import ServedProgram
from service.engine.request import Problem
from service.models import load_model
from service.settings import Settings
from training.answer_errors import answer_error

Array = npt.NDArray[Any]

SHARES = (0.03, 0.35, 0.65, 0.97)
"""Where, between two neighbouring rows, tolerances are tried that no row was measured at."""
CHUNK = 500
MAX_NFE = 10_000


class Classifier:
    """A classifier's program, asked without a server."""

    def __init__(self, directory: Path) -> None:
        self.program: ServedProgram = load_model(directory, Settings()).programs["classify"]
        limits = self.program.spec.tol
        self.ladder = self.program.cost.ladder(limits.tightest, limits.loosest)
        self.between = tuple(
            float(f"{loose * (tight / loose) ** share:.3g}")
            for loose, tight in itertools.pairwise(self.ladder)
            for share in SHARES
        )
        self._known: dict[tuple[int, str, float], tuple[Array, Array]] = {}
        self._asked: list[Array] = []  # keeps the ids in _known from being given to other images

    def solved(self, images: Array, tol: float, method: str = "auto") -> tuple[Array, Array]:
        """Logits and NFE, kept for those who ask again. Shapes: images [item, ...] -> [item, class], [item]."""
        chosen = self.program.cost.cheapest_method(tol, tol) if method == "auto" else method
        key = (id(images), chosen, tol)
        if key not in self._known:
            self._asked.append(images)
            self._known[key] = self._solve(images, tol, chosen)
        return self._known[key]

    def _solve(self, images: Array, tol: float, chosen: str) -> tuple[Array, Array]:
        cost, parts = self.program.cost, []
        for first in track(range(0, len(images), CHUNK), f"{chosen} at {tol:g}"):
            part = images[first : first + CHUNK]
            problem = Problem(self.program, chosen, part, (), tol, tol, MAX_NFE, cost.first_dt(chosen, tol))
            parts.append(solve_alone(problem))
        return np.concatenate([p.outputs[0] for p in parts]), np.concatenate([p.solution.nfe for p in parts])


def predicted_nfe(classifier: Classifier, images: Array, tols: tuple[float, ...]) -> list[dict[str, Any]]:
    """Predicted against observed evaluations by tolerance."""
    cost, rows = classifier.program.cost, []
    for tol in tols:
        method = cost.cheapest_method(tol, tol)
        _, nfe = classifier.solved(images, tol)
        mean, p99 = cost.nfe_mean(method, tol), cost.nfe_p99(method, tol)
        assert mean is not None
        assert p99 is not None
        rows.append(
            {
                "tol": tol,
                "method": method,
                "predicted_mean": round(mean, 3),
                "observed_mean": round(float(nfe.mean()), 3),
                "predicted_p99": round(p99, 2),
                "over_p99": round(float((nfe > p99 + 1e-9).mean()), 5),
            }
        )
    return rows


def nfe_beside_dopri5(classifier: Classifier, images: Array, tols: tuple[float, ...]) -> list[dict[str, Any]]:
    """The same, and what dopri5 takes."""
    rows = predicted_nfe(classifier, images, tols)
    for row in rows:
        row["nfe_dopri5"] = round(float(classifier.solved(images, row["tol"], "dopri5")[1].mean()), 3)
    return rows


def automatic(classifier: Classifier, images: Array, ask: Callable[[Array], list[dict[str, Any]]]) -> dict[str, Any]:
    """tol=auto beside the loosest and the tightest tolerance; `ask` sends images to a server with tol=auto."""
    loosest, tightest = classifier.ladder[0], classifier.ladder[-1]
    _, cheap = classifier.solved(images, loosest)
    reference = classifier.solved(images, tightest)[0].argmax(1)
    found = ask(images)
    labels = np.array([item["index"] for item in found])
    tries = np.array([len(item["solver"]["attempts"]) for item in found])
    stable = np.array([item["stable"] for item in found])
    return {
        "items": len(images),
        "label_of_the_tightest": round(float((labels == reference).mean()), 5),
        "nfe_over_loosest": round(float(np.mean([item["solver"]["nfe"] for item in found]) / cheap.mean()), 4),
        "tries_mean": round(float(tries.mean()), 4),
        "tries_most": int(tries.max()),
        "never_stable": round(float((~stable).mean()), 5),
    }


def stability(classifier: Classifier, images: Array) -> list[dict[str, Any]]:
    """How many answers are called stable at each tolerance, and how many of those have the tightest one's label."""
    cost, rows = classifier.program.cost, []
    reference = classifier.solved(images, classifier.ladder[-1])[0].argmax(1)
    for tol in classifier.ladder[:-1]:
        logits, _ = classifier.solved(images, tol)
        margin = cost.margin_error_p99(cost.cheapest_method(tol, tol), tol)
        top = np.sort(logits, 1)
        stable, agree = top[:, -1] - top[:, -2] > margin, logits.argmax(1) == reference
        rows.append(
            {
                "tol": tol,
                "stable": round(float(stable.mean()), 5),
                "agree_if_stable": round(float(agree[stable].mean()), 5),
                "agree": round(float(agree.mean()), 5),
            }
        )
    return rows


def cheapest_methods(classifier: Classifier, images: Array, reference: Array) -> list[dict[str, Any]]:
    """method=auto beside dopri5: evaluations and 99th percentile of the error, against float64 logits."""
    rows = []
    for tol in classifier.ladder:
        figures = {}
        for method in ("auto", "dopri5"):
            logits, nfe = classifier.solved(images, tol, method)
            errors = answer_error(logits, reference, "logit")
            figures[method] = (float(nfe.mean()), float(np.percentile(errors, 99)))
        (nfe_auto, error_auto), (nfe_dopri5, error) = figures["auto"], figures["dopri5"]
        rows.append(
            {
                "tol": tol,
                "method": classifier.program.cost.cheapest_method(tol, tol),
                "nfe": round(nfe_auto, 3),
                "nfe_dopri5": round(nfe_dopri5, 3),
                "error_p99": float(f"{error_auto:.4g}"),
                "error_p99_dopri5": float(f"{error:.4g}"),
                "error_ratio": round(error_auto / error, 3),
            }
        )
    return rows
