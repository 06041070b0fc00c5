"""Seconds that things take on this machine: measured when a model is loaded, their pace followed while it serves."""

import time
from collections.abc import Callable, Mapping
from itertools import pairwise

from service.engine.fading import Fading

MEMORY_SECONDS = 1.0
"""How much work the pace looks back on."""
MOST_JUMP = 4.0
"""A measurement counts as at most so many times what was expected: a process that was stopped for a while was not slow.
A machine that is slower than that is still followed, the ratio growing from one measurement to the next."""
TURN_SECONDS = 3e-4
"""What a turn costs beside the step itself."""


class Speed:
    """Nominal seconds, which stay, and the pace: how many real seconds a nominal one takes at present.

    Nominal is work in steps of full width. Steps of few lanes take longer a lane, which the pace says too; `stretch` is
    how many times as long as on loading a turn of the very same width takes.

    Order is made in nominal seconds, so that it does not move with the machine's load; waiting is told in real ones.
    Both fade while nothing is measured. Several shards correct them without a lock: a lost update is a measurement
    less, nothing worse.

    `start` is what a row's encoding and first evaluation take, `steps` what a step takes by method and number of lanes,
    `evaluations` what a lane evaluation takes in a step of full width. Units: seconds.
    """

    def __init__(
        self,
        start: float,
        evaluations: Mapping[str, float],
        steps: Mapping[str, Mapping[int, float]],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._start = start
        self._evaluations = dict(evaluations)
        self._steps = {method: sorted(seconds.items()) for method, seconds in steps.items()}
        self._pace = Fading(1.0, clock)
        self._stretch = Fading(1.0, clock)

    @property
    def pace(self) -> float:
        """Real seconds of a nominal one at present."""
        return self._pace.now()

    @pace.setter
    def pace(self, value: float) -> None:
        self._pace.set(value)

    @property
    def stretch(self) -> float:
        """How many times as long as on loading a turn takes at present."""
        return self._stretch.now()

    @stretch.setter
    def stretch(self, value: float) -> None:
        self._stretch.set(value)

    def doubt(self) -> None:
        """Forget half of what was learned since loading."""
        self._pace.halve()
        self._stretch.halve()

    def nominal(self, rows: int, method: str, nfe: float) -> float:
        """Seconds of one shard's time for rows of so many evaluations each in steps, beside the one at their start."""
        return rows * (self._start + nfe * self._evaluations[method])

    def latency(self, rows: int, method: str, attempts: float, lanes: int) -> float:
        """Real seconds from the first row's start to the end of `rows` rows that start together and make so many
        attempts each, in steps of so many lanes."""
        return self.stretch * (rows * self._start + attempts * (self._step(method, lanes) + TURN_SECONDS))

    def started(self, rows: int, seconds: float) -> None:
        """`rows` rows were encoded together and their first evaluations made."""
        _follow(self._pace, rows * self._start, seconds)

    def stepped(self, method: str, evaluations: int, seconds: float) -> None:
        """A step made so many lane evaluations."""
        _follow(self._pace, evaluations * self._evaluations[method], seconds)

    def turned(self, method: str, encoded: int, lanes: int, seconds: float) -> None:
        """A whole turn: so many rows were encoded and so many lanes made a step."""
        nominal = TURN_SECONDS + encoded * self._start + self._step(method, lanes)
        _follow(self._stretch, nominal, seconds)

    def _step(self, method: str, lanes: int) -> float:
        """Between measured widths in a straight line, and on beyond them."""
        measured = self._steps[method]
        if len(measured) == 1:
            return measured[0][1]
        (before, least), (after, most) = next(
            (pair for pair in pairwise(measured) if lanes <= pair[1][0]), (measured[-2], measured[-1])
        )
        return least + (most - least) * (lanes - before) / (after - before)


def _follow(followed: Fading, nominal: float, seconds: float) -> None:
    """One more measurement of a ratio of real to nominal seconds."""
    followed.follow(seconds / nominal, nominal / (nominal + MEMORY_SECONDS), seconds, MOST_JUMP)
