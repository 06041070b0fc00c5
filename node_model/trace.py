"""Trace of a field's Jacobian: exact, or estimated from a probe that is passed in."""

from typing import Protocol

from torch import Tensor


class DifferentiableField(Protocol):
    """A field that also gives its Jacobian's trace and quadratic forms; see TimeMLP."""

    def with_trace(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def with_quadratic_form(self, t: Tensor, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]: ...


def exact_trace(field: DifferentiableField, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The field and tr(df/dx).

    Shapes: t [lane] or [1], x [lane, dim] -> [lane, dim], [lane].
    Source: Chen et al. 2018, theorem 1 (instantaneous change of variables).
    """
    return field.with_trace(t, x)


def hutchinson_trace(field: DifferentiableField, t: Tensor, x: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """The field and probe . (df/dx) probe, whose mean over probes of covariance 1 is the trace.

    The same probe must serve the whole solve, or the integrand is not a function of time.

    Shapes: t [lane] or [1], x, probe [lane, dim] -> [lane, dim], [lane].
    Source: Hutchinson 1990; Grathwohl et al. 2019 (FFJORD), section 3.1.
    """
    return field.with_quadratic_form(t, x, probe[None])
