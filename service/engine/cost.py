"""The calibration table read: what a tolerance costs, how wrong its answer is, and what follows for a solve."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

from node_model.calibrated import at_most, first_dt, measured_rows, usual_max_nfe
from node_model.calibration_table import NFE_BETWEEN, CalibrationRow
from node_model.manifest import ProgramSpec

AUTO_ERROR_FACTOR = 1.25
"""A method is good enough for `auto` while its error is at most this many times that of the reference method."""
REFERENCE_METHOD = "dopri5"


class CostTable:
    """Measured cells of one program.

    Between rows errors come from the looser row, the first cut and the percentile of NFE from the tighter one, and mean
    NFE from what was measured between them.
    """

    def __init__(self, spec: ProgramSpec) -> None:
        self._spec = spec
        # The same few tolerances come again and again, and each would be looked up several times a request.
        for name in ("first_dt", "nfe_mean", "nfe_p99", "error_p99", "margin_error_p99", "cheapest_method", "ladder"):
            setattr(self, name, lru_cache(maxsize=4096)(getattr(self, name)))
        self._rows: dict[str, Sequence[CalibrationRow]] = {
            method: measured_rows(spec, method) for method in spec.methods
        }

    @property
    def unit(self) -> str | None:
        """Unit of the errors; None without calibration."""
        return self._spec.calibration.unit if self._spec.calibration else None

    def ladder(self, tightest: float, loosest: float) -> tuple[float, ...]:
        """Calibrated tolerances within two limits, loosest first."""
        measured = {row.tol for rows in self._rows.values() for row in rows if tightest <= row.tol <= loosest}
        return tuple(sorted(measured, reverse=True))

    def first_dt(self, method: str, tol: float) -> float:
        """Magnitude of the first attempt. Units: the field's time."""
        return first_dt(self._spec, self._rows[method], tol)

    def nfe_mean(self, method: str, tol: float) -> float | None:
        """Expected NFE of an item; None tighter than anything measured."""
        looser, tighter = self._looser_row(method, tol), at_most(self._rows[method], tol)
        if tighter is None or looser is None or looser is tighter:
            return tighter.nfe_mean if tighter else None
        measured = (
            zip(NFE_BETWEEN, tighter.nfe_between, strict=True) if tighter.nfe_between else [(0.0, looser.nfe_mean)]
        )
        share = math.log(tol / looser.tol) / math.log(tighter.tol / looser.tol)
        return _interpolated([*measured, (1.0, tighter.nfe_mean)], share)

    def nfe_p99(self, method: str, tol: float) -> float | None:
        """NFE that 99 % of items stay within, between rows that of the tighter; None tighter than anything measured."""
        row = at_most(self._rows[method], tol)
        return row.nfe_p99 if row else None

    def max_nfe(self, method: str, tol: float, cap: int) -> int:
        """Budget of a request that names none."""
        return usual_max_nfe(self._rows[method], tol, cap)

    def error_p99(self, method: str, tol: float) -> float | None:
        """Error of the answer that 99 % of items stay within, in `unit`; None where nothing was measured."""
        row = self._looser_row(method, tol)
        return row.error_p99 if row else None

    def margin_error_p99(self, method: str, tol: float) -> float | None:
        """The same for the difference of the two largest logits."""
        row = self._looser_row(method, tol)
        return row.margin_error_p99 if row else None

    def cheapest_method(self, rtol: float, atol: float) -> str:
        """What `method=auto` means: the least mean NFE among methods about as accurate as the reference method; of two
        that cost the same, the more accurate."""
        methods = list(self._spec.methods)
        reference = REFERENCE_METHOD if REFERENCE_METHOD in methods else methods[0]
        bound = self.error_p99(reference, max(rtol, atol))
        if bound is None:
            return reference
        costs: dict[str, tuple[float, float]] = {}
        for method in methods:
            error, nfe = self.error_p99(method, max(rtol, atol)), self.nfe_mean(method, min(rtol, atol))
            if error is not None and nfe is not None and error <= AUTO_ERROR_FACTOR * bound:
                costs[method] = (nfe, error)
        return min(costs, key=costs.__getitem__, default=reference)

    def _looser_row(self, method: str, tol: float) -> CalibrationRow | None:
        return next((row for row in self._rows[method] if row.tol >= tol), None)


def _interpolated(points: Sequence[tuple[float, float | None]], at: float) -> float | None:
    """In the logarithm of the value, between two of some points. Points: ascending, the first at 0, the last at 1."""
    known = [(x, math.log(value)) for x, value in points if value]
    for (x0, y0), (x1, y1) in itertools.pairwise(known):
        if x0 <= at <= x1:
            return math.exp(y0 + (y1 - y0) * (at - x0) / (x1 - x0))
    return None
