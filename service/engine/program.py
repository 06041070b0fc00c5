"""A program as the engine serves it: its stepper, what a solve costs, and how wide and fast its steps are here."""

from collections.abc import Mapping
from dataclasses import dataclass

from node_model.manifest import ProgramSpec
from service.engine.cost import CostTable
from service.engine.speed import Speed
from service.engine.stepper import Stepper

UNCALIBRATED_NFE = 50.0
"""Expected evaluations of a row where nothing was measured."""


@dataclass(frozen=True, eq=False)
class ServedProgram:
    """`model` names it in metrics, `key` in the queue; `lanes` is the width of each method's steps on this machine."""

    model: str
    key: str
    stepper: Stepper
    cost: CostTable
    speed: Speed
    lanes: Mapping[str, int]

    @property
    def spec(self) -> ProgramSpec:
        """What the artifact says of it."""
        return self.stepper.spec

    def work(self, rows: int, method: str, tol: float) -> float:
        """Predicted nominal seconds of one shard's time for `rows` rows; see Speed."""
        return self.speed.nominal(rows, method, self.cost.nfe_mean(method, tol) or UNCALIBRATED_NFE)
