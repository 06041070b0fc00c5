"""A program as the engine serves it: its stepper, what a solve costs, and how wide and fast its steps are here."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node_model.manifest import ProgramSpec
from service.engine.cost import CostTable
from service.engine.quantile import QuantileFollower
from service.engine.speed import Speed
from service.engine.stepper import Stepper

KEPT = 0.995
"""Share of requests that shall end within the time that a deadline is compared with."""
UNCALIBRATED_NFE = 50.0
"""Expected evaluations of a row where nothing was measured."""


def usual_factor(clock: Callable[[], float] = time.perf_counter) -> QuantileFollower:
    """Follows what half of the requests keep."""
    return QuantileFollower(0.5, 1.0, clock)


def worst_factor(clock: Callable[[], float] = time.perf_counter) -> QuantileFollower:
    """Follows what nearly all of them keep."""
    return QuantileFollower(KEPT, 2.0, clock)


@dataclass(frozen=True, eq=False)
class ServedProgram:
    """`model` names it in metrics, `key` in the queue; `lanes` is the width of each method's steps on this machine.

    `usual` and `worst`: how many times as long as forecast its requests take, half of them and nearly all.
    """

    model: str
    key: str
    stepper: Stepper
    cost: CostTable
    speed: Speed
    lanes: Mapping[str, int]
    usual: QuantileFollower = field(default_factory=usual_factor)
    worst: QuantileFollower = field(default_factory=worst_factor)

    @property
    def spec(self) -> ProgramSpec:
        """What the artifact says of it."""
        return self.stepper.spec

    def work(self, rows: int, method: str, tol: float, extra_nfe: float = 0.0, most_nfe: float = math.inf) -> float:
        """Predicted nominal seconds of one shard's time for `rows` rows; see Speed. `extra_nfe`: what each needs beside
        the usual; `most_nfe`: where it ends."""
        nfe = min(self.nfe(method, tol) + extra_nfe, most_nfe)
        # The first evaluation is in what a start takes.
        return self.speed.nominal(rows, method, max(0.0, nfe - self.spec.methods[method].nfe_start))

    def doubt(self) -> None:
        """Forget half of what was learned of its speed since it was loaded."""
        for learned in (self.speed, self.usual, self.worst):
            learned.doubt()

    def nfe(self, method: str, tol: float) -> float:
        """Expected evaluations of a row."""
        return self.cost.nfe_mean(method, tol) or UNCALIBRATED_NFE

    def nfe_p99(self, method: str, tol: float) -> float:
        """Evaluations that 99 % of rows stay within."""
        return self.cost.nfe_p99(method, tol) or UNCALIBRATED_NFE
