"""The calibration table read: what a tolerance costs, how wrong its answer is, and what follows for a solve."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

from node_model.manifest import CalibrationRow, ProgramSpec

LEAST_MAX_NFE = 200
MAX_NFE_FACTOR = 10
AUTO_ERROR_FACTOR = 1.25
"""A method is good enough for `auto` while its error is at most this many times that of the reference method."""
REFERENCE_METHOD = "dopri5"
UNCALIBRATED_STEPS = 10
NEARLY = 0.05
"""Lanes do the steps of the first cut and no others while their mean NFE is this near to what those cost."""
ROUNDING = 1e-6


class CostTable:
    """Measured cells of one program. Between rows errors come from the looser row, NFE from both, in the logarithm."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._spec = spec
        self._length = abs(spec.interval[1] - spec.interval[0])
        # The same few tolerances come again and again, and each would be looked up several times a request.
        for name in ("steps", "nfe_mean", "nfe_p99", "error_p99", "margin_error_p99", "cheapest_method", "ladder"):
            setattr(self, name, lru_cache(maxsize=4096)(getattr(self, name)))
        cells = spec.calibration.rows if spec.calibration else ()
        self._rows: dict[str, Sequence[CalibrationRow]] = {
            method: sorted((r for r in cells if r.method == method and r.skipped is None), key=lambda r: r.tol)
            for method in spec.methods
        }

    @property
    def unit(self) -> str | None:
        """Unit of the errors; None without calibration."""
        return self._spec.calibration.unit if self._spec.calibration else None

    def ladder(self, tightest: float, loosest: float) -> tuple[float, ...]:
        """Calibrated tolerances within two limits, loosest first."""
        measured = {row.tol for rows in self._rows.values() for row in rows if tightest <= row.tol <= loosest}
        return tuple(sorted(measured, reverse=True))

    def steps(self, method: str, tol: float) -> int:
        """Steps the interval is cut into at first: a row's own; between rows the whole number below the interpolated.

        A first attempt that is rejected now and then costs less than a step more for every item.
        """
        cuts = [(row.tol, self._cut(row)) for row in self._rows[method] if row.first_dt]
        between = _interpolated(cuts, max(tol, cuts[0][0])) if cuts else None
        return UNCALIBRATED_STEPS if between is None else math.floor(between + ROUNDING)

    def first_dt(self, method: str, tol: float) -> float:
        """Magnitude of the first attempt. Units: the field's time."""
        return self._length / self.steps(method, tol)

    def nfe_mean(self, method: str, tol: float) -> float | None:
        """Expected NFE of an item; None tighter than anything measured."""
        looser = self._looser_row(method, tol)
        if looser and looser.nfe_mean and self._cut_decides(method, tol):
            per_least = looser.nfe_mean / self._least_nfe(method, self._cut(looser))
            return per_least * self._least_nfe(method, self.steps(method, tol))
        return _interpolated([(row.tol, row.nfe_mean) for row in self._rows[method]], tol)

    def nfe_p99(self, method: str, tol: float) -> float | None:
        """NFE that 99 % of items stay within; None tighter than anything measured."""
        if self._cut_decides(method, tol):
            # More items than at a row reject the first attempt: they have it and one step more to do.
            return self._least_nfe(method, self.steps(method, tol) + 2)
        between = _interpolated([(row.tol, row.nfe_p99) for row in self._rows[method]], tol)
        if between is None:
            return None
        start, attempt = self._spec.methods[method].nfe_start, self._spec.methods[method].nfe_attempt
        return self._least_nfe(method, math.ceil((between - start) / attempt - ROUNDING))

    def max_nfe(self, method: str, tol: float, cap: int) -> int:
        """Budget of a request that names none."""
        expected = self.nfe_p99(method, tol)
        return cap if expected is None else min(max(math.ceil(MAX_NFE_FACTOR * expected), LEAST_MAX_NFE), cap)

    def error_p99(self, method: str, tol: float) -> float | None:
        """Error of the answer that 99 % of items stay within, in `unit`; None where nothing was measured."""
        row = self._looser_row(method, tol)
        return row.error_p99 if row else None

    def margin_error_p99(self, method: str, tol: float) -> float | None:
        """The same for the difference of the two largest logits."""
        row = self._looser_row(method, tol)
        return row.margin_error_p99 if row else None

    def cheapest_method(self, rtol: float, atol: float) -> str:
        """What `method=auto` means: the least mean NFE among methods about as accurate as the reference method."""
        methods = list(self._spec.methods)
        reference = REFERENCE_METHOD if REFERENCE_METHOD in methods else methods[0]
        bound = self.error_p99(reference, max(rtol, atol))
        if bound is None:
            return reference
        costs = {}
        for method in methods:
            error, nfe = self.error_p99(method, max(rtol, atol)), self.nfe_mean(method, min(rtol, atol))
            if error is not None and nfe is not None and error <= AUTO_ERROR_FACTOR * bound:
                costs[method] = nfe
        return min(costs, key=costs.__getitem__, default=reference)

    def _looser_row(self, method: str, tol: float) -> CalibrationRow | None:
        return next((row for row in self._rows[method] if row.tol >= tol), None)

    def _cut(self, row: CalibrationRow) -> int:
        return round(self._length / row.first_dt) if row.first_dt else UNCALIBRATED_STEPS

    def _least_nfe(self, method: str, steps: int) -> float:
        return self._spec.methods[method].nfe_start + steps * self._spec.methods[method].nfe_attempt

    def _cut_decides(self, method: str, tol: float) -> bool:
        """Whether, between two rows, NFE grows only because the interval is cut into more steps: it does not glide."""
        looser = self._looser_row(method, tol)
        tighter = next((row for row in reversed(self._rows[method]) if row.tol <= tol), None)
        if looser is None or tighter is None or self._cut(looser) == self._cut(tighter):
            return False
        least = [self._least_nfe(method, self._cut(row)) for row in (looser, tighter)]
        found = [row.nfe_mean or math.inf for row in (looser, tighter)]
        return all(abs(nfe / at_least - 1) <= NEARLY for nfe, at_least in zip(found, least, strict=True))


def _interpolated(points: list[tuple[float, float | None]] | list[tuple[float, int]], tol: float) -> float | None:
    """Log value over log tol, constant on the loose side, None on the tight one. Points: ascending in tol."""
    known = [(math.log(at), math.log(value)) for at, value in points if value]
    at = math.log(tol)
    if not known or at < known[0][0]:
        return None
    for (x0, y0), (x1, y1) in itertools.pairwise(known):
        if at <= x1:
            return math.exp(y0 + (y1 - y0) * (at - x0) / (x1 - x0))
    return math.exp(known[-1][1])
