"""The rule that turns a step's error into accept or reject and the next dt."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from node_model.rows import row_sum
from node_model.types import Part


@dataclass(frozen=True)
class IController:
    """Integral controller: dt times safety * ratio ** (-1 / order), within [shrink, grow].

    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4 eq. 4.13.
    """

    safety: float = 0.9
    shrink: float = 0.2
    grow: float = 10.0

    def factor(self, ratio: Tensor, order: int, last_accepted: Tensor) -> Tensor:
        """By what to multiply dt; an infinite ratio (a non-finite attempt) gives `shrink`.

        Directly after a rejection dt does not grow (Hairer et al., II.4, below eq. 4.13).

        Shapes: ratio, last_accepted [lane] -> [lane].
        """
        # Tensors, because a Python number would be written to an exported graph in float32.
        safety, exponent = ratio.new_tensor(self.safety), ratio.new_tensor(-1.0 / order)
        shrink, grow = ratio.new_tensor(self.shrink), ratio.new_tensor(self.grow)
        factor = (safety * ratio**exponent).clamp(shrink, grow)
        return torch.where(last_accepted, factor, factor.clamp(max=1.0))


CONTROLLER = IController()


def rms(x: Tensor) -> Tensor:
    """Root mean square over the last axis, as float64. Shapes: [lane, n] -> [lane]."""
    return (row_sum(x * x) / x.shape[-1]).sqrt().to(torch.float64)


def _rms_of_parts(x: Tensor, parts: Sequence[Part]) -> list[Tensor]:
    """Shapes: [lane, dim] -> [lane] for each part."""
    # An empty part has no mean.
    return [rms(x[:, part.start : part.stop]) for part in parts if part.stop > part.start]


def largest_rms(x: Tensor, parts: Sequence[Part]) -> Tensor:
    """The RMS of the part where it is largest. Shapes: [lane, dim] -> [lane]."""
    return _largest(_rms_of_parts(x, parts))


def _largest(sizes: Sequence[Tensor]) -> Tensor:
    return sizes[0] if len(sizes) == 1 else torch.stack(tuple(sizes)).amax(0)


def error_scale(y0: Tensor, y1: Tensor, rtol: Tensor, atol: Tensor) -> Tensor:
    """atol + rtol * max(|y0|, |y1|): the size of an error that is just tolerated.

    Shapes: y0, y1 [lane, dim]; rtol, atol [lane] -> [lane, dim], in the dtype of the state.
    """
    return atol.to(y0.dtype)[:, None] + rtol.to(y0.dtype)[:, None] * torch.maximum(y0.abs(), y1.abs())


def error_ratio(err: Tensor, y0: Tensor, y1: Tensor, rtol: Tensor, atol: Tensor, parts: Sequence[Part]) -> Tensor:
    """Step error measured in each lane's own tolerance; at most 1 means the step is accepted.

    The maximum over parts of the RMS over that part. It is infinite where the attempt is non-finite in any component.

    Shapes: err, y0, y1 [lane, dim]; rtol, atol [lane] -> [lane].
    Units: dimensionless.
    Errors: never raises.
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4, eq. 4.11.
    """
    scaled = err / error_scale(y0, y1, rtol, atol)
    sizes = _rms_of_parts(scaled, parts)
    ratio = _largest(sizes)
    # A non-finite component makes the RMS of its part so; a maximum over parts may lose a NaN, a sum does not.
    whole = sum(part.stop - part.start for part in parts) == err.shape[-1]
    finite = is_finite(sum(sizes[1:], sizes[0])) if whole else all_finite(scaled) & is_finite(ratio)
    return torch.where(all_finite(y1) & finite, ratio, torch.inf)


def is_finite(x: Tensor) -> Tensor:
    """Neither NaN nor infinite: torch.isfinite, in fewer operators when exported. Shapes: as x, bool."""
    return x.abs() < torch.inf


def all_finite(x: Tensor) -> Tensor:
    """Whether a row holds neither NaN nor infinity. Shapes: [lane, dim] -> [lane] bool."""
    # A sum, because NaN passes through it in every runtime; a maximum may lose it.
    return is_finite(x.abs().sum(-1))


def first_dt(
    f0: Tensor, f1: Tensor, y0: Tensor, h0: Tensor, rtol: Tensor, atol: Tensor, order: int, parts: Sequence[Part]
) -> Tensor:
    """A first dt from the field at the start and after an Euler step of size h0.

    Shapes: f0, f1, y0 [lane, dim]; h0, rtol, atol [lane] -> [lane].
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4, "Starting step size", steps d) to f).
    """
    scale = error_scale(y0, y0, rtol, atol)
    d1 = largest_rms(f0 / scale, parts)
    d2 = largest_rms((f1 - f0) / scale, parts) / h0
    steepest = torch.maximum(d1, d2)
    h1 = torch.where(steepest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), (0.01 / steepest) ** (1.0 / order))
    dt = torch.minimum(100 * h0, h1)
    # The Euler step may have left the field's domain; the controller then shrinks h0 until it has not. And a field
    # whose size in a very tight tolerance overflows leaves no dt at all.
    return torch.where(torch.isfinite(dt) & (dt > 0), dt, h0)


def first_euler_dt(f0: Tensor, y0: Tensor, rtol: Tensor, atol: Tensor, parts: Sequence[Part]) -> Tensor:
    """The size of the Euler step that `first_dt` looks at.

    Shapes: f0, y0 [lane, dim]; rtol, atol [lane] -> [lane].
    Source: Hairer, Norsett & Wanner, Solving ODEs I (2nd ed.), II.4, "Starting step size", steps a) to b).
    """
    scale = error_scale(y0, y0, rtol, atol)
    d0 = largest_rms(y0 / scale, parts)
    d1 = largest_rms(f0 / scale, parts)
    return torch.where((d0 < 1e-5) | (d1 < 1e-5), torch.full_like(d0, 1e-6), 0.01 * d0 / d1)
