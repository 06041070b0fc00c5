"""Answers: arrays of a solved request turned into what is sent."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from node_model.status import ADVICE, Status
from service.api.errors import ApiError, Code
from service.engine.cost import CostTable
from service.engine.request import End, Request, Solution
from service.engine.stepper import Array
from service.engine.trace import Trace

RETRY_SECONDS = 1
STATUS_LABELS = tuple(Status(value).label for value in range(len(Status)))


def failure_of(request: Request, rows_per_item: int = 1) -> ApiError | None:
    """The error of a request that did not end well; None for one that did, or whose caller takes what there is."""
    solution, end = request.solution, request.end
    if end is End.STOPPED:
        return ApiError(Code.NOT_READY, "the server stops", {"state": "draining"}, {"Retry-After": str(RETRY_SECONDS)})
    if end is End.FAULT:
        return ApiError(Code.INTERNAL, "the solver's backend failed; the log has it")
    if request.problem.partial or end is End.COMPLETED:
        return None
    if end is End.DEADLINE:
        spent = 1e3 * (request.queue_seconds + request.solve_seconds)
        details: dict[str, Any] = {"spent_ms": round(spent, 3), "nfe": int(solution.nfe.sum())}
        return ApiError(Code.DEADLINE, f"not solved within {spent:.0f} ms; loosen tol or ask for less", details)
    row = request.first_failed or 0
    status, item = Status(int(solution.status[row])), row // rows_per_item
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

    `calibrated`: they are answers at the end of the interval, which is where errors were measured. `trace` has what was
    seen of the engine's `rows`, where a request wanted to see it.

    Shapes: outputs each [item, *output.shape] or [item, stop, *output.shape]; rows, every array of `solution` [item].
    """

    method: str
    rtol: float
    atol: float
    cost: CostTable
    solution: Solution
    outputs: tuple[Array, ...]
    calibrated: bool = True
    trace: Trace | None = None
    rows: Array | None = None

    @classmethod
    def of(cls, request: Request) -> "Solved":
        """Of a request without failure, or of its rows that have ended; rows that its deadline cut off say so."""
        problem, solution = request.problem, request.solution
        if request.end is End.DEADLINE:
            status = np.where(solution.status == Status.CANCELLED, Status.DEADLINE, solution.status)
            solution = replace(solution, status=status)
        stops, spec = problem.stops, problem.program.spec
        room = (len(problem),) if stops is None else (len(problem), len(stops))
        outputs = request.outputs or tuple(
            np.full((*room, *output.shape), np.nan, output.dtype) for output in spec.outputs
        )
        solved = cls(problem.method, problem.rtol, problem.atol, problem.program.cost, solution, outputs)
        if stops is None and request.trace is None:
            return solved
        calibrated = stops is None or stops.tolist() == [spec.interval[1]]
        return replace(solved, calibrated=calibrated, trace=request.trace, rows=np.arange(len(problem)))

    @property
    def loosest(self) -> float:
        """The tolerance that the error follows."""
        return max(self.rtol, self.atol)

    def __len__(self) -> int:
        return len(self.solution.status)

    def __getitem__(self, items: slice | Array) -> "Solved":
        """Some of the items: a range, or those of the given numbers."""
        if isinstance(items, slice) and items.start == 0 and items.stop >= len(self):
            return self
        return replace(
            self,
            solution=self.solution.part(items),
            outputs=tuple(output[items] for output in self.outputs),
            rows=None if self.rows is None else self.rows[items],
        )

    @property
    def status(self) -> Array:
        """[item], node_model.status.Status."""
        return self.solution.status

    @cached_property
    def ok(self) -> Array:
        """[item] bool."""
        return np.asarray(self.status == Status.OK)

    @cached_property
    def logits(self) -> Array:
        """The first output of a classifier, 0 for items that failed. Shapes: -> [item, class]."""
        return np.where(self.ok[:, None], self.outputs[0], 0.0)

    @cached_property
    def stable(self) -> Array | None:
        """Whether the first output's largest number leads by more than the calibrated error of that lead; None where
        that was not measured. Shapes: -> [item] bool."""
        margin, logits = self.cost.margin_error_p99(self.method, self.loosest), self.outputs[0]
        if self.rtol != self.atol or margin is None or logits.shape[1] < 2:
            return None
        top = np.partition(np.where(self.ok[:, None], logits, 0.0), -2, axis=1)
        return np.asarray(top[:, -1] - top[:, -2] > margin)

    def items(self) -> list[dict[str, Any]]:
        """`status` and `solver` of each item."""
        solution, error, unit = self.solution, self.cost.error_p99(self.method, self.loosest), self.cost.unit
        common = {"method": self.method, "rtol": self.rtol, "atol": self.atol}
        calibrated = {"p99": error, "unit": unit} if error is not None and self.calibrated else None
        columns = (self.status, solution.nfe, solution.accepted, solution.rejected, solution.error_estimate)
        return [
            {
                "status": STATUS_LABELS[status],
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


def winners(logits: Array) -> tuple[Array, Array]:
    """The most probable class and the probabilities of all. Shapes: [item, class] -> [item] int, [item, class]."""
    probabilities = np.exp(logits - np.maximum.reduce(logits, 1, keepdims=True))
    probabilities /= np.add.reduce(probabilities, 1, keepdims=True)
    return logits.argmax(1), probabilities


def classifications(solved: Solved, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """`predictions` of /classify, from the logits, which are the first output."""
    ok = solved.ok
    index, probabilities = winners(solved.logits)
    stable = None if solved.stable is None else solved.stable.tolist()
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


def densities(solved: Solved) -> list[dict[str, Any]]:
    """`predictions` of /density with the exact trace."""
    values = zip(solved.ok.tolist(), solved.outputs[0].tolist(), solved.items(), strict=True)
    return [{"log_density": value if fine else None, **item} for fine, value, item in values]


def per_point(solved: Solved, probes: int) -> Solved:
    """Hutchinson's estimate: `probes` neighbouring rows made one item, their mean log-density and its standard error.

    The standard error is NaN for a single probe. A point fails with the first of its probes that does.
    """
    grouped, counts = solved.status.reshape(-1, probes), solved.solution
    worst = (grouped != Status.OK).argmax(1)
    values = np.where(solved.ok, solved.outputs[0], 0.0).reshape(-1, probes)
    error = values.std(1, ddof=1) / np.sqrt(probes) if probes > 1 else np.full(len(values), np.nan)
    solution = Solution(
        status=grouped[np.arange(len(grouped)), worst],
        t=counts.t[::probes],
        nfe=counts.nfe.reshape(-1, probes).sum(1),
        accepted=counts.accepted.reshape(-1, probes).sum(1),
        rejected=counts.rejected.reshape(-1, probes).sum(1),
        error_estimate=counts.error_estimate.reshape(-1, probes).max(1),
    )
    return replace(solved, solution=solution, outputs=(values.mean(1), error))


def estimated_densities(solved: Solved) -> list[dict[str, Any]]:
    """`predictions` of /density with Hutchinson's trace, from `per_point`."""
    means, errors = (output.tolist() for output in solved.outputs)
    return [
        {
            "log_density": mean if fine else None,
            "log_density_std_error": error if fine and not math.isnan(error) else None,
            **item,
        }
        for fine, mean, error, item in zip(solved.ok.tolist(), means, errors, solved.items(), strict=True)
    ]


def samples(solved: Solved) -> list[Array | None]:
    """`samples` of /sample."""
    return [point if fine else None for fine, point in zip(solved.ok.tolist(), solved.outputs[0], strict=True)]


def drawn(solved: Solved) -> list[dict[str, Any]]:
    """Samples, each with what it took."""
    return [{"sample": point, **item} for point, item in zip(samples(solved), solved.items(), strict=True)]
