"""What a manifest says of cost and error: a row for each method and tolerance, and the tolerances there are."""

from typing import Literal

from pydantic import Field, model_validator

from node_model.strict import Name, Strict


class TolLimits(Strict):
    """Tolerances a request may ask for, all within the calibrated ones."""

    tightest: float = Field(gt=0)
    loosest: float = Field(gt=0)
    default: float = Field(gt=0)
    """Taken where a request names none."""

    @model_validator(mode="after")
    def _ordered(self) -> "TolLimits":
        if not self.tightest <= self.default <= self.loosest:
            raise ValueError("expected tightest <= default <= loosest")
        return self


NFE_BETWEEN = (0.0, 0.25, 0.5, 0.75)
"""Where NFE is measured between two rows: from the looser one (0) to the tighter (1), in the logarithm of tol."""


class CalibrationRow(Strict):
    """One cell of the table: a method at a tolerance, measured on the exported graph.

    Errors are in the unit of the table; a cell that was not measured has only `skipped`, the reason. `nfe_between` is
    mean NFE at the tolerances of NFE_BETWEEN, between the next looser row and this one, with this row's first dt.
    """

    method: Name
    tol: float = Field(gt=0)
    """rtol and atol."""
    skipped: str | None = None
    """Why the cell was not measured."""
    nfe_mean: float | None = None
    """Evaluations per item."""
    nfe_p50: float | None = None
    nfe_p99: float | None = None
    nfe_between: tuple[float, ...] | None = Field(
        default=None, min_length=len(NFE_BETWEEN), max_length=len(NFE_BETWEEN)
    )
    error_rms: float | None = None
    error_p99: float | None = None
    """99 % of the items stayed within it."""
    margin_error_p99: float | None = None
    """The same of the difference between the two largest logits."""
    metric: float | None = None
    """The task's own score."""
    agreement: float | None = None
    """Share of the items that agree with the reference."""
    first_dt: float | None = Field(default=None, gt=0)
    """Length of the first attempt that 95 % of the items accept."""


class Calibration(Strict):
    """Measured cost and error per method and tolerance."""

    unit: Literal["logit", "nat", "output"]
    """Of the errors."""
    metric: str
    """Name of the task's score."""
    data: str
    """What it was measured on."""
    items: int = Field(ge=1)
    """How many."""
    reference: str
    """What the answers were compared with."""
    command: str
    """What repeats it."""
    rows: tuple[CalibrationRow, ...]
