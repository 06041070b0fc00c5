"""Cores and replicas for a rate: the highest rate of one replica, and how many of them that takes."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from service.capacity.bounds import check_calibrated, check_reachable, counted_as, simulated_requests
from service.capacity.replica import CROWDING, MOST_LOAD, Figures, Replica
from service.simulation.stepper import Clock

ASSUMPTIONS = (
    "requests come at random and independently (Poisson), and are shared out alike; least connections does better",
    "inputs cost as many evaluations as those of the calibration table, mean and p99",
    "a replica's cores are its own, one for each solver thread; the event loop takes its share of them",
    f"no replica is given a load above {MOST_LOAD:.0%} of the rate that it could answer in full steps, however late "
    "requests may be",
    "the network, TLS and the proxy come on top",
)
OF_SEVERAL_SHARDS = (
    f"each further solver thread of a replica makes everything {CROWDING:.0%} slower, which was measured for two",
    "that solver threads and the event loop keep each other waiting is not simulated: many requests are later than is "
    "said here, and replicas of one are to be preferred",
)


@dataclass(frozen=True)
class Cost:
    """What a request of one tolerance costs. `counted_as`: the tolerance of the calibration that this is of.

    Units: milliseconds of one core.
    """

    tol: float
    counted_as: float
    share: float
    method: str
    nfe_mean: float
    nfe_p99: float
    ms: float


@dataclass(frozen=True)
class Plan:
    """`rate`: requests a second in all. `each`: what a replica has when all are there; `at_most`: when only as many are
    left as are needed; `able`: requests a second that are a load of 1. Units: milliseconds."""

    rate: float
    p99_ms: float
    costs: tuple[Cost, ...]
    work_ms: float
    ms_per_evaluation: float
    ms_per_request: float
    shards: int
    replicas: int
    spare: int
    each: Figures
    at_most: Figures
    able: float
    bound_by_event_loop: bool
    saturated: float

    @property
    def cores(self) -> int:
        """Of all replicas, spare ones too."""
        return self.replicas * self.shards

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What all of this holds under."""
        return ASSUMPTIONS + OF_SEVERAL_SHARDS if self.shards > 1 else ASSUMPTIONS

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"cores": self.cores, "assumptions": self.assumptions}


def costs_of(replica: Replica) -> tuple[Cost, ...]:
    """By tolerance, as the mix has them."""
    program, found = replica.program(Clock()), []
    for tol, share in zip(replica.mix.tols, replica.mix.shares, strict=True):
        method = program.cost.cheapest_method(tol, tol)
        nfe, worst = program.nfe(method, tol), program.nfe_p99(method, tol)
        seconds = program.work(replica.items, method, tol) + replica.stretch * replica.beside
        found.append(Cost(tol, counted_as(program, method, tol), share, method, nfe, worst, 1e3 * seconds))
    return tuple(found)


def make_plan(replica: Replica, rate: float, p99_ms: float, spare: int) -> Plan:
    """Errors: UncalibratedError, UnreachableError, TooLargeError."""
    program, mix, items = replica.program(Clock()), replica.mix, replica.items
    check_calibrated(program, mix)
    check_reachable(program, mix, items, replica.shards, replica.stretch * replica.beside, p99_ms / 1e3)
    replica = replace(replica, requests=simulated_requests(program, mix, items, replica.requests))
    at_most = replica.most(p99_ms)
    needed = max(1, math.ceil(rate / at_most.rate))
    replicas, costs = needed + spare, costs_of(replica)
    work, evaluations = 1e3 * replica.work, sum(cost.share * cost.nfe_mean for cost in costs)
    # As it was given or measured: of one solver thread, like what a request takes beside.
    solving = work / replica.stretch - 1e3 * replica.beside
    return Plan(
        rate,
        p99_ms,
        costs,
        work,
        solving / (replica.items * evaluations),
        1e3 * replica.beside,
        replica.shards,
        replicas,
        spare,
        replica.at(rate / replicas),
        at_most,
        replica.able,
        replica.able == replica.read,
        replica.saturated(),
    )
