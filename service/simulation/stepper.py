"""A stepper without a network: every row brings along how many attempts it takes, and a step takes its time in
simulation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from node_model.manifest import ProgramSpec
from node_model.status import Status
from service.engine.stepper import Array, Lanes, Rows, Stepped, Terms


class Clock:
    """Simulated seconds. `now` goes to and fro between shards whose turns overlap; `spent` is the sum of the turns."""

    def __init__(self) -> None:
        self.now = self.spent = 0.0

    def spend(self, seconds: float) -> None:
        """A shard is at work."""
        self.now += seconds
        self.spent += seconds

    def __call__(self) -> float:
        return self.now


class SimulatedStepper:
    """Lanes of one number, the attempts that are left. Shapes: inputs [row, 1], attempts, at least one."""

    def __init__(
        self, spec: ProgramSpec, clock: Clock, start: float, step: Callable[[str, int], float], turn: float
    ) -> None:
        """`start` seconds a row, `step` by method and lanes, `turn` for each step beside."""
        self._spec = spec
        self._clock = clock
        self._start = start
        self._step = step
        self._turn = turn

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def start(self, rows: Rows) -> Stepped:
        count, terms = len(rows.inputs), rows.terms
        self._clock.spend(count * self._start)
        zeros, ones = np.zeros(count), np.ones(count, np.int64)
        limits = (zeros + 1, terms.rtol, terms.atol, terms.max_nfe)
        lanes = Lanes._make((rows.inputs, zeros, zeros, terms.first_dt, ones > 0, 0 * ones, ones, *limits, ()))
        return Stepped(lanes, np.full(count, Status.RUNNING, np.int64), zeros, ones, ones > 0, zeros, zeros)

    def restart(self, lanes: Lanes, terms: Terms) -> Stepped:
        none = np.zeros(len(lanes.t), np.int64)
        return Stepped(lanes._replace(nfe=none), none, lanes.t, none, lanes.accepted, lanes.t, lanes.t)

    def step(self, method: str, lanes: Lanes) -> Stepped:
        self._clock.spend(self._step(method, len(lanes.t)) + self._turn)
        left, nfe = lanes.y - 1, lanes.nfe + self._spec.methods[method].nfe_attempt
        status = np.where(left[:, 0] > 0, Status.RUNNING, Status.OK)
        return Stepped(lanes._replace(y=left, nfe=nfe), status, lanes.t, nfe, lanes.accepted, *[np.zeros(len(nfe))] * 2)

    def select(self, lanes: Lanes, index: Array) -> Lanes:
        return Lanes._make((*(array[index] for array in lanes[:-1]), ()))

    def join(self, *parts: Lanes) -> Lanes:
        return Lanes._make((*map(np.concatenate, zip(*(part[:-1] for part in parts), strict=True)), ()))

    def onward(self, lanes: Lanes, index: Array, t_end: Array) -> Lanes:
        raise NotImplementedError("nobody here has stops")

    def peek(self, lanes: Lanes, names: tuple[str, ...]) -> tuple[Array, ...]:
        return tuple(getattr(lanes, name) for name in names)

    def decode(self, y: Any) -> tuple[Array, ...]:
        return (y,)


def between(seconds: Mapping[int, float]) -> Callable[[int], float]:
    """Seconds of a step of any width, in a straight line between measured ones."""
    widths, taken = zip(*sorted(seconds.items()), strict=True)

    def at(lanes: int) -> Any:
        return float(np.interp(lanes, widths, taken))

    return at
