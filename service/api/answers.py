"""Answers: arrays of a solved request turned into what is sent."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from node_model.status import ADVICE, Status
from service.api.errors import ApiError, Code
from service.api.parameters import Choice
from service.engine.cost import CostTable
from service.engine.runner import Outcome
from service.engine.solve import Solution
from service.engine.stepper import Array


def failure_of(outcome: Outcome, rows_per_item: int = 1) -> ApiError:
    """The error of a request that a failed item ended."""
    row = outcome.first_failed or 0
    solution, item = outcome.solution, row // rows_per_item
    status = Status(int(solution.status[row]))
    details = {
        "index": item,
        "status": status.label,
        "t": float(solution.t[row]),
        "nfe": int(solution.nfe[row]),
        "advice": ADVICE[status],
    }
    return ApiError(Code.SOLVER_FAILED, f"item {item}: {status.label}: {ADVICE[status]}", details)


@dataclass(frozen=True)
class Solved:
    """What answers are made of: the answers of one program, item by item.

    Shapes: status [item]; outputs each [item, *output.shape]; the counts of `solution` [item].
    """

    choice: Choice
    cost: CostTable
    solution: Solution
    outputs: tuple[Array, ...]
    status: Array

    @classmethod
    def of(cls, choice: Choice, cost: CostTable, outcome: Outcome, rows_per_item: int = 1) -> "Solved":
        """An answer that is not finite though its lane ended well is `non_finite` too.

        Errors: ApiError 422 when an item failed and ended the request.
        """
        if outcome.outputs is None:
            raise failure_of(outcome, rows_per_item)
        status = outcome.solution.status
        for output in outcome.outputs:
            finite = np.isfinite(output).reshape(len(status), -1).all(1)
            status = np.where((status == Status.OK) & ~finite, Status.NON_FINITE, status)
        return cls(choice, cost, outcome.solution, outcome.outputs, status)

    @property
    def ok(self) -> Array:
        """[item] bool."""
        return np.asarray(self.status == Status.OK)

    def items(self) -> list[dict[str, Any]]:
        """`status` and `solver` of each item."""
        choice, solution = self.choice, self.solution
        error, unit = self.cost.error_p99(choice.method, choice.loosest), self.cost.unit
        common = {"method": choice.method, "rtol": choice.rtol, "atol": choice.atol}
        calibrated = None if error is None else {"p99": error, "unit": unit}
        labels = [Status(value).label for value in range(len(Status))]
        columns = (self.status, solution.nfe, solution.accepted, solution.rejected, solution.error_estimate)
        return [
            {
                "status": labels[status],
                "solver": {
                    **common,
                    "nfe": nfe,
                    "accepted": accepted,
                    "rejected": rejected,
                    "error_estimate": estimate,
                    "calibrated_error": calibrated,
                },
            }
            for status, nfe, accepted, rejected, estimate in zip(*(c.tolist() for c in columns), strict=True)
        ]


def classifications(solved: Solved, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """`predictions` of /classify, from the logits, which are the first output."""
    ok = solved.ok
    logits = np.where(ok[:, None], solved.outputs[0].astype(np.float64), 0.0)
    exp = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = (exp / exp.sum(1, keepdims=True)).astype(np.float32)
    index = logits.argmax(1)
    stable = _stable(solved, logits)
    return [
        {
            "label": labels[winner] if fine else None,
            "index": winner if fine else None,
            "probabilities": probabilities[row] if fine else None,
            "stable": stable[row] if fine and stable is not None else None,
            **item,
        }
        for row, (fine, winner, item) in enumerate(zip(ok.tolist(), index.tolist(), solved.items(), strict=True))
    ]


def _stable(solved: Solved, logits: Array) -> list[bool] | None:
    """Whether the winner leads by more than the calibrated error of that lead; None where that was not measured."""
    choice = solved.choice
    margin = solved.cost.margin_error_p99(choice.method, choice.loosest)
    if choice.rtol != choice.atol or margin is None or logits.shape[1] < 2:
        return None
    top = np.partition(logits, -2, axis=1)
    lead: list[bool] = (top[:, -1] - top[:, -2] > margin).tolist()
    return lead


def densities(solved: Solved) -> list[dict[str, Any]]:
    """`predictions` of /density with the exact trace."""
    values = zip(solved.ok.tolist(), solved.outputs[0].tolist(), solved.items(), strict=True)
    return [{"log_density": value if fine else None, **item} for fine, value, item in values]


def estimated_densities(solved: Solved, probes: int) -> list[dict[str, Any]]:
    """`predictions` of /density with Hutchinson's trace: `probes` neighbouring rows are one point.

    The standard error of the mean is null for a single probe. A point fails with the first of its probes that does.
    """
    grouped = solved.status.reshape(-1, probes)
    worst = (grouped != Status.OK).argmax(1)
    counts = solved.solution
    per_point = Solved(
        choice=solved.choice,
        cost=solved.cost,
        solution=Solution(
            y=counts.y[::probes],
            t=counts.t[::probes],
            status=counts.status[::probes],
            nfe=counts.nfe.reshape(-1, probes).sum(1),
            accepted=counts.accepted.reshape(-1, probes).sum(1),
            rejected=counts.rejected.reshape(-1, probes).sum(1),
            error_estimate=counts.error_estimate.reshape(-1, probes).max(1),
        ),
        outputs=(),
        status=grouped[np.arange(len(grouped)), worst],
    )
    values = np.where(solved.ok, solved.outputs[0], 0.0).reshape(-1, probes)
    error = values.std(1, ddof=1) / np.sqrt(probes) if probes > 1 else np.full(len(values), np.nan)
    columns = zip(per_point.ok.tolist(), values.mean(1).tolist(), error.tolist(), per_point.items(), strict=True)
    return [
        {
            "log_density": mean if fine else None,
            "log_density_std_error": spread if fine and probes > 1 else None,
            **item,
        }
        for fine, mean, spread, item in columns
    ]


def samples(solved: Solved) -> list[Array | None]:
    """`samples` of /sample."""
    return [point if fine else None for fine, point in zip(solved.ok.tolist(), solved.outputs[0], strict=True)]
