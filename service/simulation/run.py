"""One simulated run: requests arrive at random, shards take turns, everyone's end is written down."""

import heapq
import math
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from service.engine.admission import PATIENCE, Waiting
from service.engine.choice import UnreachableDeadlineError
from service.engine.engine import Engine
from service.engine.learning import learn
from service.engine.program import ServedProgram
from service.engine.request import End, Problem, QueueFullError, Request
from service.simulation.stepper import Clock

QUEUE_SECONDS, MAX_SECONDS = 5.0, 60.0


@dataclass(frozen=True)
class Traffic:
    """What is asked for. `rates` are weights. Units: deadlines in seconds."""

    tols: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    tol_rates: tuple[float, ...] = (0.3, 0.4, 0.2, 0.1)
    items: tuple[int, ...] = (1, 16, 256)
    item_rates: tuple[float, ...] = (0.97, 0.027, 0.003)
    deadline_share: float = 0.2
    deadlines: tuple[float, float] = (0.02, 1.0)
    max_tol_share: float = 0.2
    max_tol: float = 1e-1


@dataclass
class Ends:
    """How requests ended: `taken` seconds (NaN for those that were refused), with what they were and when they came."""

    at: list[float] = field(default_factory=list)
    tol: list[float] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    deadline: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    loosened: list[bool] = field(default_factory=list)
    may_loosen: list[bool] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        """As columns."""
        return {name: np.array(values) for name, values in vars(self).items()}


@dataclass(frozen=True)
class _Asked:
    at: float
    tol: float
    items: int
    deadline: float
    max_tol: float | None


def seconds_per_request(program: ServedProgram, traffic: Traffic) -> float:
    """Mean predicted seconds of one shard's time: what a load of 1 is made of."""
    work = [program.work(1, program.cost.cheapest_method(tol, tol), tol) for tol in traffic.tols]
    return float(np.average(work, weights=traffic.tol_rates) * np.average(traffic.items, weights=traffic.item_rates))


def simulate(
    program: ServedProgram,
    clock: Clock,
    *,
    rate: float,
    requests: int,
    shards: int,
    traffic: Traffic,
    seed: int,
    patience: float = PATIENCE,
) -> Ends:
    """`requests` Poisson arrivals, so many a second. `patience`: K of the due time."""
    rng = np.random.default_rng(seed)
    clock.now = clock.spent = 0.0
    return _Run(program, clock, shards, patience, rng).all(_arrivals(rng, rate, requests, traffic))


def _arrivals(rng: np.random.Generator, rate: float, count: int, traffic: Traffic) -> list[_Asked]:
    at = np.cumsum(rng.exponential(1 / rate, count))
    tols = rng.choice(traffic.tols, count, p=traffic.tol_rates)
    items = rng.choice(traffic.items, count, p=traffic.item_rates)
    low, high = np.log(traffic.deadlines)
    deadlines = np.exp(rng.uniform(low, high, count))
    deadlines[rng.random(count) >= traffic.deadline_share] = math.inf
    loosen = rng.random(count) < traffic.max_tol_share
    columns = zip(at.tolist(), tols.tolist(), items.tolist(), deadlines.tolist(), loosen.tolist(), strict=True)
    return [
        _Asked(t, tol, n, d, traffic.max_tol if may and tol < traffic.max_tol else None)
        for t, tol, n, d, may in columns
    ]


class _Run:
    """Shards whose turns overlap in simulated time: each engine runs a turn at once, and is back when it is over."""

    def __init__(
        self, program: ServedProgram, clock: Clock, shards: int, patience: float, rng: np.random.Generator
    ) -> None:
        self._program = program
        self._clock = clock
        self._rng = rng
        self._ends = Ends()
        self._asked: dict[int, _Asked] = {}
        self._waiting = Waiting(shards, QUEUE_SECONDS, MAX_SECONDS, patience)
        self._engines = [
            Engine(self._waiting, nullcontext(), shard=shard, shards=shards, clock=clock) for shard in range(shards)
        ]

    def all(self, arrivals: list[_Asked]) -> Ends:
        """Everyone's end."""
        free = [(0.0, shard) for shard in range(len(self._engines))]
        idle: list[int] = []
        upcoming = iter([*arrivals, None])
        asked = next(upcoming)
        while free or asked:
            if asked and (not free or asked.at <= free[0][0]):
                self._arrive(asked)
                for shard in idle:
                    heapq.heappush(free, (asked.at, shard))
                idle.clear()
                asked = next(upcoming)
                continue
            self._clock.now, shard = heapq.heappop(free)
            if self._engines[shard].step():
                heapq.heappush(free, (self._clock.now, shard))
            else:
                idle.append(shard)
        return self._ends

    def _arrive(self, asked: _Asked) -> None:
        self._clock.now = asked.at
        ways = [asked.tol] if asked.max_tol is None else self._ladder(asked.tol, asked.max_tol)
        strict = math.isfinite(asked.deadline)
        try:
            request = self._waiting.admit(
                [self._problem(tol, asked.items) for tol in ways],
                received=asked.at,
                # Nobody's patience ends in this world: the default deadline would cap the due times of large K.
                deadline=asked.at + asked.deadline,
                strict=strict,
                now=asked.at,
                ended=self._on_end,
            )
        except (QueueFullError, UnreachableDeadlineError) as error:
            self._note(asked, refused="queue_full" if isinstance(error, QueueFullError) else "deadline")
        else:
            self._asked[request.ticket] = asked

    def _ladder(self, tol: float, most: float) -> list[float]:
        return list(reversed(self._program.cost.ladder(tol, most)))

    def _problem(self, tol: float, items: int) -> Problem:
        cost = self._program.cost
        method = cost.cheapest_method(tol, tol)
        attempts = self._attempts(method, tol, items)
        return Problem(self._program, method, attempts, (), tol, tol, 10_000, cost.first_dt(method, tol))

    def _attempts(self, method: str, tol: float, items: int) -> np.ndarray:
        """Rows with as many attempts as the table's mean and 99th percentile ask for. Shapes: -> [items, 1]."""
        mean, p99 = self._program.nfe(method, tol), self._program.nfe_p99(method, tol)
        spread = math.log(p99 / mean) / 2.326
        nfe = mean * np.exp(spread * self._rng.standard_normal((items, 1)) - spread**2 / 2)
        spec = self._program.spec.methods[method]
        # Rounded up or down at random, so that the mean stays.
        return np.maximum(1, np.floor((nfe - spec.nfe_start) / spec.nfe_attempt + self._rng.random((items, 1))))

    def _on_end(self, request: Request) -> None:
        self._waiting.drop(request)
        asked, taken = self._asked.pop(request.ticket), self._clock.now - request.received
        learn(request, self._clock.now)
        self._note(
            asked,
            waited=request.queue_seconds,
            taken=taken,
            loosened=request.problem.rtol > asked.tol,
            refused="" if request.end is End.COMPLETED else str(request.end),
        )

    def _note(
        self,
        asked: _Asked,
        *,
        waited: float = math.nan,
        taken: float = math.nan,
        loosened: bool = False,
        refused: str = "",
    ) -> None:
        ends = self._ends
        ends.at.append(asked.at)
        ends.tol.append(asked.tol)
        ends.items.append(asked.items)
        ends.deadline.append(asked.deadline)
        ends.waited.append(waited)
        ends.taken.append(taken)
        ends.loosened.append(loosened)
        ends.may_loosen.append(asked.max_tol is not None)
        ends.refused.append(refused)
