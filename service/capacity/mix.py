"""What is asked for: shares of tolerances, written `1e-1:0.5,1e-2:0.4,1e-4:0.1`."""

import math
from dataclasses import dataclass

from node_model.manifest import ProgramSpec
from service.simulation.run import Traffic

MOST_TOLERANCES = 20
MOST_SHARE = 1e9
"""Of a share: sums of larger ones may be no number."""


class MixError(ValueError):
    """A mix that cannot be read, or that a model cannot serve; the message says which part and what was expected."""


@dataclass(frozen=True)
class Mix:
    """Tolerances, each once, and their shares, which sum to 1."""

    tols: tuple[float, ...]
    shares: tuple[float, ...]

    def traffic(self, items: int) -> Traffic:
        """Requests of so many items, without deadlines and `max_tol`."""
        return Traffic(self.tols, self.shares, (items,), (1.0,), deadline_share=0.0, max_tol_share=0.0)

    def check(self, spec: ProgramSpec) -> None:
        """Errors: MixError for a tolerance that the program does not have."""
        for tol in self.tols:
            if not spec.tol.tightest <= tol <= spec.tol.loosest:
                limits = f"expected {spec.tol.tightest:g} to {spec.tol.loosest:g}, the model's limits"
                raise MixError(f"tolerance {tol:g}: {limits}")


def read_mix(text: str) -> Mix:
    """Shares may be weights of any size: 5:4:1 is 0.5, 0.4, 0.1. Errors: MixError."""
    weights: dict[float, float] = {}
    for part in text.split(","):
        if len(weights) == MOST_TOLERANCES:
            raise MixError(f"expected up to {MOST_TOLERANCES} tolerances")
        tol, _, share = part.strip().partition(":")
        try:
            at, weight = float(tol), float(share or "1")
        except ValueError:
            raise MixError(f"{part.strip()!r}: expected TOL:SHARE, for instance 1e-2:0.4") from None
        if not (math.isfinite(at) and at > 0):
            raise MixError(f"{part.strip()!r}: expected a tolerance above 0")
        if not 0 < weight <= MOST_SHARE:
            raise MixError(f"{part.strip()!r}: expected a share above 0, up to {MOST_SHARE:g}")
        if at in weights:
            raise MixError(f"{part.strip()!r}: tolerance {at:g} stands there twice")
        weights[at] = weight
    total = math.fsum(weights.values())
    return Mix(tuple(weights), tuple(weight / total for weight in weights.values()))
