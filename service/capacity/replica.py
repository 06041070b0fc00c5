"""One replica under a traffic: its latencies at a rate, and the highest rate at which they are what is wanted."""

import math
from dataclasses import dataclass

import numpy as np

from node_model.manifest import ProgramSpec
from service.capacity.event_loop import waits
from service.capacity.mix import Mix
from service.engine.program import ServedProgram
from service.simulation.program import Timings, simulated_program
from service.simulation.run import seconds_per_request, simulate
from service.simulation.stepper import Clock

BESIDE_SECONDS = 7.61e-4
"""Processor time of a request outside the engine: reading, parsing, answering. It is `beside` in
docs/benchmarks/scaling.json, the median of its rounds, for small JSON bodies."""
INTERPRETER_SECONDS = 7.05e-4
"""What `interpreter_seconds` says of that machine: `interpreter` in the same file."""
CROWDING = 0.08
"""By what part everything takes longer for each further solver thread: they share an interpreter and caches, and leave
cores idle while they wait for each other.

`crowding` in the same file, by the clock, for the second thread; beyond it is extrapolated.

Source: Gunther 1993, the linear term of the universal scalability law.
"""
REQUESTS = 4000
BEGINNING = 0.2
"""Share of a run that is not looked at: the queue is still filling."""
MOST_LOAD = 0.9
"""Of the rate that a replica could answer in steps of full width: nearer to that, a burst or a slower minute keeps
everybody waiting for long. Its shards are busy nearly all the time far below it, with steps that are not full."""
NEAR = 0.02
"""How exactly the highest rate is looked for."""
OVERLOAD = 1.3


class UnreachableError(ValueError):
    """No rate, however low, has the latencies that are wanted; the message says what there is."""


@dataclass(frozen=True)
class Figures:
    """A replica at a rate. Units: requests a second, milliseconds.

    `busy`: share of the shards' time that is spent, in steps of any width; no measure of what could be added.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    busy: float
    answered: float
    refused: int

    def keeps(self, p99_ms: float) -> bool:
        """Whether 99 of 100 requests take no longer, and none is refused."""
        return self.p99_ms <= p99_ms and not self.refused


@dataclass(frozen=True)
class Replica:
    """One process with `shards` solver threads on as many cores, which its event loop, a single thread, shares.

    `beside`: seconds a request takes outside the engine; `items`: rows of each.
    """

    model: str
    spec: ProgramSpec
    timings: Timings
    mix: Mix
    shards: int
    items: int = 1
    beside: float = BESIDE_SECONDS
    crowding: float = CROWDING
    requests: int = REQUESTS
    seed: int = 0

    def program(self, clock: Clock) -> ServedProgram:
        """As it is simulated: what a request costs beside is charged to its rows."""
        timings = self.timings.stretched(self.stretch)
        beside = self.stretch * self.beside / self.items
        return simulated_program(self.model, self.spec, timings, clock, beside=beside)

    @property
    def stretch(self) -> float:
        """How many times as long everything takes as with one solver thread."""
        return 1 + self.crowding * (self.shards - 1)

    @property
    def work(self) -> float:
        """Mean seconds of a core that a request takes, in steps of full width."""
        return seconds_per_request(self.program(Clock()), self.mix.traffic(self.items)) + self.stretch * self.beside

    @property
    def able(self) -> float:
        """Answers a second that the shards could make in steps of full width, and the event loop give: a load of 1."""
        return min(self.shards / self.work, self.read)

    @property
    def read(self) -> float:
        """Requests a second that the event loop, which is a single thread, can read and answer."""
        seconds = self.stretch * self.beside
        return 1 / seconds if seconds else math.inf

    def at(self, rate: float) -> Figures:
        """The real scheduler on simulated time."""
        clock = Clock()
        ends = simulate(
            self.program(clock),
            clock,
            rate=rate,
            requests=self.requests,
            shards=self.shards,
            traffic=self.mix.traffic(self.items),
            seed=self.seed,
        ).arrays()
        solved = ends["refused"] == ""
        # The time at the event loop is in that of the shards, whose cores it shares; the queue before it is not.
        leaving = ends["at"] + np.where(solved, ends["taken"], 0.0)
        taken = (ends["taken"] + waits(ends["at"], leaving, self.stretch * self.beside / 2))[solved]
        taken = 1e3 * taken[int(BEGINNING * len(taken)) :]
        p50, p99 = (float(np.percentile(taken, share)) if len(taken) else math.inf for share in (50, 99))
        seconds = clock.now
        busy, answered = clock.spent / (self.shards * seconds), float(solved.sum()) / seconds
        return Figures(rate, p50, p99, busy, answered, int((~solved).sum()))

    def saturated(self) -> float:
        """Answers a second when more is asked than can be done."""
        return min(self.at(OVERLOAD * self.able).answered, self.read)

    def most(self, p99_ms: float) -> Figures:
        """The highest rate, up to MOST_LOAD, at which 99 of 100 requests take no longer, and none is refused.

        Errors: UnreachableError when that cannot be at any rate.
        """
        low, high = NEAR * self.able, MOST_LOAD * self.able
        best, loaded = self.at(low), self.at(high)
        if best.refused:
            raise UnreachableError(
                f"{best.refused} of {self.requests} requests are refused when next to nothing is asked, since they "
                "take too long: expected looser tolerances, faster cores or fewer items a request"
            )
        if best.p99_ms > p99_ms:
            raise UnreachableError(
                f"p99 is {best.p99_ms:.3g} ms when next to nothing is asked: expected --p99-ms above that, looser "
                "tolerances, faster cores or fewer items a request"
            )
        if loaded.keeps(p99_ms):
            return loaded
        while high - low > NEAR * self.able:
            middle = self.at((low + high) / 2)
            if middle.keeps(p99_ms):
                low, best = middle.rate, middle
            else:
                high = middle.rate
        return best
