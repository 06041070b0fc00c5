"""One program measured: the tightest tolerance, and cost and error at each that is looser.

The answers are compared with those of a float64 PyTorch solve by dopri5 at a hundredth of the tightest tolerance.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from rich.progress import Progress

from node_model.calibration_table import NFE_BETWEEN, Calibration, CalibrationRow, TolLimits
from node_model.manifest import Manifest, ProgramSpec
from node_model.program import Program
from node_model.solvers import solve_ivp
from node_model.status import Status
from training.answer_errors import answer_error, margin_error
from training.calibration_items import Array, Items
from training.graphs import GraphProgram
from training.modules import ModuleProgram

LADDER = tuple(float(f"{lead}e-{decade}") for decade in range(1, 13) for lead in (1, 0.3))
"""Calibrated tolerances, loosest first: 1e-1, 3e-2, 1e-2, ... A table ends at the model's tightest tolerance."""
TIGHTEST = {"float32": 1e-6, "float64": 1e-12}
MAX_CELL_NFE = 5_000
NFE_EXCESS = 1.3
"""A float32 graph may need this much more than float64; beyond it, rounding feeds the error estimate."""
LIMIT_ITEMS, FIRST_DT_ITEMS, BETWEEN_ITEMS = 128, 500, 1_000
FIRST_ACCEPTED = 0.95
CLOSE = 0.01
"""An answer agrees with the reference within this: nats of a log-density, standard deviations of a sample."""
DEFAULT_TOL = {"classify": 1e-2, "density": 1e-4, "predict": 1e-3}


@dataclass(frozen=True)
class Answers:
    """Decoded first output per item, and NFE. Shapes: values [item, ...]; status, nfe [item]."""

    values: Array
    status: Array
    nfe: Array


class Measure:
    """Calibration of one program."""

    def __init__(
        self,
        manifest: Manifest,
        model: Any,
        program: Program,
        graphs: GraphProgram | ModuleProgram,
        items: Items,
        progress: Progress,
        command: str,
    ) -> None:
        self._manifest = manifest
        self._program = program
        self._wide = next(p for p in copy.deepcopy(model).double().programs() if p.name == program.name)
        self._graphs = graphs
        self._items = items
        self._progress = progress
        self._command = command
        self._y0 = graphs.encode(items.inputs)

    def run(self) -> ProgramSpec:
        """The program's spec with its measured limits and table."""
        spec = self._graphs.spec
        tightest = self._tightest()
        ladder = [tol for tol in LADDER if tol >= tightest * 0.999]
        reference, described = self._reference(tightest)
        rows: list[CalibrationRow] = []
        bar = self._progress.add_task(f"{self._program.name}: table", total=len(spec.methods) * len(ladder))
        for method in spec.methods:
            measured: list[CalibrationRow] = []
            for tol in ladder:
                measured.append(self._cell(method, tol, measured, reference))
                self._progress.advance(bar)
            rows += measured
        if all(row.skipped for row in rows if row.tol <= tightest * 1.001):
            # The limit was found on some of the items; another one of them is harder.
            row = next(row for row in rows if row.method == "dopri5" and row.tol <= tightest * 1.001)
            raise ValueError(
                f"{self._program.name}: at tol {row.tol:g} no method solves every item (dopri5: {row.skipped}); leave "
                "the hard ones out of the data"
            )
        default = min(max(DEFAULT_TOL[self._manifest.task], tightest), ladder[0])
        return ProgramSpec.model_validate(
            spec.model_dump()
            | {
                "tol": TolLimits(tightest=tightest, loosest=ladder[0], default=default),
                "calibration": Calibration(
                    unit=self._unit,
                    metric=self._metric_name,
                    data=self._items.described,
                    items=len(self._items.inputs),
                    reference=described,
                    command=self._command,
                    rows=tuple(rows),
                ),
            }
        )

    def between(self) -> ProgramSpec:
        """The program's spec with NFE measured anew between the rows of the table that it has."""
        spec = self._graphs.spec
        if spec.calibration is None:
            raise ValueError(f"{self._program.name}: has no table; leave --between out")
        rows: list[CalibrationRow] = []
        for row in self._progress.track(spec.calibration.rows, description=f"{self._program.name}: between rows"):
            looser = rows[-1] if rows and rows[-1].method == row.method else None
            if looser and row.first_dt:
                found = self._nfe_between(row.method, looser.tol, row.tol, row.first_dt)
                row = row.model_copy(update={"nfe_between": found})
            rows.append(row)
        first = spec.calibration.command.partition("; ")[0]
        update = {"rows": tuple(rows), "command": f"{first}; {self._command}"}
        return spec.model_copy(update={"calibration": spec.calibration.model_copy(update=update)})

    def _nfe_between(self, method: str, looser: float, tol: float, dt: float) -> tuple[float, ...] | None:
        """Mean NFE at the tolerances of NFE_BETWEEN; None where an item does not reach the end."""
        some = slice(0, BETWEEN_ITEMS)
        y0, args = self._y0[some], {name: arg[some] for name, arg in self._items.args.items()}
        found = []
        for share in NFE_BETWEEN:
            at = looser * (tol / looser) ** share
            solved = self._graphs.solve(y0, args, method=method, tol=at, dt=dt, max_nfe=4 * MAX_CELL_NFE)
            if (solved.status != Status.OK).any():
                return None
            found.append(_round(solved.nfe.mean()))
        return tuple(found)

    @property
    def _unit(self) -> Literal["logit", "nat", "output"]:
        if self._manifest.task == "classify":
            return "logit"
        return "nat" if self._program.name.startswith("log_density") else "output"

    @property
    def _metric_name(self) -> str:
        return {"logit": "accuracy", "nat": "mean log-density", "output": "none"}[self._unit]

    def _tightest(self) -> float:
        """The tightest decade at which the graph's NFE is within NFE_EXCESS of a float64 solve's."""
        floor = TIGHTEST[self._manifest.state_dtype]
        decades = [tol for tol in LADDER if f"{tol:e}".startswith("1.") and tol >= floor * 0.999]
        some = slice(0, LIMIT_ITEMS)
        bar = self._progress.add_task(f"{self._program.name}: tol limit", total=len(decades))
        for tol in reversed(decades):
            dt = self._first_dt("dopri5", tol, 1)
            args = {name: arg[some] for name, arg in self._items.args.items()}
            narrow = self._graphs.solve(self._y0[some], args, method="dopri5", tol=tol, dt=dt, max_nfe=MAX_CELL_NFE)
            wide = self._wide_solve(some, tol=tol, max_nfe=MAX_CELL_NFE, dt0=dt)
            self._progress.advance(bar)
            if narrow.nfe.mean() <= NFE_EXCESS * wide.nfe.mean() and (narrow.status == Status.OK).all():
                self._progress.update(bar, completed=len(decades))
                return tol
        raise ValueError(f"{self._program.name}: needs more evaluations in float32 than in float64 at every tolerance")

    def _reference(self, tightest: float) -> tuple[Answers, str]:
        """Float64 answers at limit/100, or at limit/10 where that takes too many evaluations.

        Errors: ValueError naming an item that has no answer: what others give could not be held against it.
        """
        for share in (100, 10):
            tol = tightest / share
            probe = self._wide_solve(slice(0, 16), tol=tol, max_nfe=MAX_CELL_NFE)
            if share == 100 and (probe.status != Status.OK).any():
                continue
            answers = self._wide_answers(tol)
            if (answers.status == Status.OK).all():
                reason = "" if share == 100 else f", because 1/100 of the limit takes over {MAX_CELL_NFE} evaluations"
                return answers, f"torch float64 dopri5 at tol {tol:.0e}{reason}"
        lost = np.flatnonzero(answers.status != Status.OK)
        label = Status(int(answers.status[lost[0]])).label
        raise ValueError(
            f"{self._program.name}: {len(lost)} of {len(answers.status)} items end without an answer in float64 at tol "
            f"{tol:.0e}, item {lost[0]} first ({label}); nothing can be held against them, leave them out of the data"
        )

    def _wide_answers(self, tol: float) -> Answers:
        """Float64 answers to every item."""
        parts = [slice(start, start + 50) for start in range(0, len(self._items.inputs), 50)]
        bar = self._progress.add_task(f"{self._program.name}: reference", total=len(parts))
        solved = []
        for part in parts:
            solved.append(self._wide_solve(part, tol=tol, max_nfe=4 * MAX_CELL_NFE))
            self._progress.advance(bar)
        return Answers(*(np.concatenate([getattr(s, name) for s in solved]) for name in ("values", "status", "nfe")))

    def _wide_solve(self, part: slice, *, tol: float, max_nfe: int, dt0: float | None = None) -> Answers:
        """Float64 answers by dopri5, each item its own lane, through the float64 network end to end."""
        program, dtype = self._wide, torch.float64
        with torch.no_grad():
            y0 = program.encode(torch.from_numpy(self._items.inputs[part]).to(dtype))
            solution = solve_ivp(
                program.field,
                y0,
                program.interval[0],
                [program.interval[1]],
                rtol=tol,
                atol=tol,
                method="dopri5",
                parts=program.parts,
                args=tuple(torch.from_numpy(arg[part]).to(dtype) for arg in self._items.args.values()),
                max_nfe=max_nfe,
                dt0=dt0,
            )
            values = program.decode(solution.ys[-1])[0]
        return Answers(values.numpy(), solution.status.numpy(), solution.nfe.numpy())

    def _first_dt(self, method: str, tol: float, least: int) -> float:
        """interval / n for the least n whose first attempt 95 % of the items accept; at least `least`."""
        start, end = self._program.interval
        some = slice(0, FIRST_DT_ITEMS)
        y0, args = self._y0[some], {name: arg[some] for name, arg in self._items.args.items()}

        def accepted(n: int) -> bool:
            dt = abs(end - start) / n
            share = self._graphs.first_accepted(y0, args, method=method, tol=tol, dt=dt).mean()
            return bool(share >= FIRST_ACCEPTED)

        return abs(end - start) / least_true(accepted, least)

    def _cell(self, method: str, tol: float, looser: list[CalibrationRow], reference: Answers) -> CalibrationRow:
        """One row of the table."""
        costs = [row.nfe_mean for row in looser if row.nfe_mean is not None]
        predicted = costs[-1] ** 2 / costs[-2] if len(costs) > 1 else 0.0
        if (looser and looser[-1].skipped) or predicted > MAX_CELL_NFE:
            return CalibrationRow(method=method, tol=tol, skipped=f"predicted over {MAX_CELL_NFE} evaluations")
        known = [row.first_dt for row in looser if row.first_dt is not None]
        start, end = self._program.interval
        dt = self._first_dt(method, tol, round(abs(end - start) / known[-1]) if known else 1)
        solved = self._graphs.solve(self._y0, self._items.args, method=method, tol=tol, dt=dt, max_nfe=4 * MAX_CELL_NFE)
        failed = int((solved.status != Status.OK).sum())
        if failed:
            return CalibrationRow(method=method, tol=tol, skipped=f"{failed} of {len(solved.status)} items failed")
        values = self._graphs.decode(solved.y)[0]
        error = answer_error(values, reference.values, self._unit)
        return CalibrationRow(
            method=method,
            tol=tol,
            nfe_mean=_round(solved.nfe.mean()),
            nfe_p50=_round(np.percentile(solved.nfe, 50)),
            nfe_p99=_round(np.percentile(solved.nfe, 99)),
            nfe_between=self._nfe_between(method, looser[-1].tol, tol, dt) if looser else None,
            error_rms=_round(np.sqrt(np.mean(np.square(error)))),
            error_p99=_round(np.percentile(error, 99)),
            margin_error_p99=_round(np.percentile(margin_error(values, reference.values), 99))
            if self._unit == "logit"
            else None,
            metric=self._metric(values),
            agreement=_round(self._agreement(values, reference.values, error)),
            first_dt=dt,
        )

    def _metric(self, values: Array) -> float | None:
        if self._unit == "logit" and self._items.labels is not None:
            return _round((values.argmax(-1) == self._items.labels).mean())
        return _round(values.mean()) if self._unit == "nat" else None

    def _agreement(self, values: Array, reference: Array, error: Array) -> float:
        if self._unit == "logit":
            return float((values.argmax(-1) == reference.argmax(-1)).mean())
        scale = 1.0 if self._unit == "nat" else float(reference.std(0).mean())
        return float((error <= CLOSE * scale).mean())


def least_true(holds: Callable[[int], bool], least: int) -> int:
    """The least n >= `least` for which a condition holds that stays true once it is: gallop, then bisect."""
    if holds(least):
        return least
    low, high = least, 2 * least
    while not holds(high) and high < 2**20:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _round(value: Any) -> float:
    """Six digits: more would only make manifests differ."""
    return float(f"{float(value):.6g}")
