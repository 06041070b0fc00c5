"""What a query asks of the solve: which tolerances will do, by which method, until when."""

import math
from dataclasses import dataclass, replace

from service.api.errors import invalid
from service.api.parameters import LEAST_DEADLINE_MS, Parameters
from service.engine.program import ServedProgram
from service.engine.request import Problem
from service.engine.stepper import Array
from service.engine.trace import Show

WORTHWHILE = 0.9
"""A looser tolerance must not take more than this part of the work that the tighter one takes."""


@dataclass(frozen=True)
class Choice:
    """One way to solve a request: the same for all its items. `spare_nfe`: by how much stops may raise the budget; none
    where the caller has set it."""

    method: str
    rtol: float
    atol: float
    max_nfe: int
    first_dt: float
    spare_nfe: int

    def problem(
        self,
        program: ServedProgram,
        inputs: Array,
        args: tuple[Array, ...],
        partial: bool,
        *,
        stops: Array | None = None,
        show: Show | None = None,
        most_nfe: int | None = None,
    ) -> Problem:
        """In the engine's words. `most_nfe` caps the budget. Shapes: inputs, args [row, ...]; stops [stop]."""
        how = (self.rtol, self.atol, self.max_nfe, self.first_dt)
        problem = Problem(program, self.method, inputs, args, *how, partial, stops=stops, show=show)
        budget = self.max_nfe + min(problem.extra_nfe, self.spare_nfe)
        budget = budget if most_nfe is None else min(budget, most_nfe)
        return problem if budget == self.max_nfe else replace(problem, max_nfe=budget)


@dataclass(frozen=True)
class Wishes:
    """`ways` are tolerances that will do, tightest first: the first that fits deadline and load is taken. With `auto`
    they are tried one after another instead, loosest first, item by item until the label is stable.

    Units: deadline in seconds from the arrival of the request, `max_nfe` in field evaluations; None when not given.
    """

    ways: tuple[Choice, ...]
    auto: bool
    deadline: float | None
    partial: bool
    max_nfe: int | None = None


def read_wishes(
    parameters: Parameters, program: ServedProgram, *, most_nfe: int, most_seconds: float, may_auto: bool
) -> Wishes:
    """Errors: ApiError 422 naming the parameter and what was expected."""
    auto = may_auto and parameters.text("tol") == "auto"
    pairs = _auto_tolerances(parameters, program) if auto else _tolerances(parameters, program)
    method, max_nfe = _method(parameters, program), parameters.count("max_nfe", 1, most_nfe)
    ways = tuple(_choice(program, method, rtol, atol, max_nfe, most_nfe) for rtol, atol in pairs)
    deadline_ms = parameters.number("deadline_ms", LEAST_DEADLINE_MS, 1e3 * most_seconds)
    return Wishes(
        ways=_surer_each(program, ways) if auto else _cheaper_each(program, ways),
        auto=auto,
        deadline=None if deadline_ms is None else deadline_ms / 1e3,
        partial=parameters.word("partial", ("false", "true")) == "true",
        max_nfe=max_nfe,
    )


def _tolerances(parameters: Parameters, program: ServedProgram) -> list[tuple[float, float]]:
    """rtol and atol as asked for, then looser ones up to max_tol."""
    limits = program.spec.tol
    tol = parameters.tolerance("tol", limits, limits.default)
    rtol, atol = (parameters.tolerance(name, limits, tol) for name in ("rtol", "atol"))
    asked = max(rtol, atol)
    most = parameters.number("max_tol", asked, limits.loosest)
    if most is None:
        return [(rtol, atol)]
    looser = [tol for tol in (*reversed(program.cost.ladder(asked, most)), most) if tol > asked]
    return [(rtol, atol), *((max(rtol, tol), max(atol, tol)) for tol in dict.fromkeys(looser))]


def _auto_tolerances(parameters: Parameters, program: ServedProgram) -> list[tuple[float, float]]:
    """The calibrated ones, loosest first."""
    for name in parameters.given("rtol", "atol", "max_tol"):
        raise invalid(name, "not with tol=auto, which chooses the tolerance itself")
    ladder = program.cost.ladder(program.spec.tol.tightest, program.spec.tol.loosest)
    return [(tol, tol) for tol in ladder]


def _cheaper_each(program: ServedProgram, ways: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """What was asked for, and looser ways that each save work over the one before: others would cost accuracy alone."""
    kept = [ways[0]]
    for way in ways[1:]:
        before = kept[-1]
        least = WORTHWHILE * program.work(1, before.method, min(before.rtol, before.atol))
        if program.work(1, way.method, min(way.rtol, way.atol)) <= least:
            kept.append(way)
    return tuple(kept)


def _surer_each(program: ServedProgram, ways: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Without those whose margin is no surer than that of a looser one."""
    kept: list[Choice] = []
    least = math.inf
    for way in ways:
        margin = program.cost.margin_error_p99(way.method, way.rtol)
        if margin is not None and margin < least:
            kept.append(way)
            least = margin
    if not kept:
        raise invalid("tol", "auto needs a model whose margins were calibrated; expected a number")
    return tuple(kept)


def _method(parameters: Parameters, program: ServedProgram) -> str:
    method, methods = parameters.text("method") or "auto", program.spec.methods
    if method != "auto" and method not in methods:
        raise invalid("method", f"expected auto, {', '.join(methods)}; got {method[:80]!r}")
    return method


def _choice(
    program: ServedProgram, method: str, rtol: float, atol: float, max_nfe: int | None, most_nfe: int
) -> Choice:
    cost, tightest = program.cost, min(rtol, atol)
    chosen = cost.cheapest_method(rtol, atol) if method == "auto" else method
    budget = max_nfe or cost.max_nfe(chosen, tightest, most_nfe)
    spare = 0 if max_nfe else most_nfe - budget
    return Choice(chosen, rtol, atol, budget, cost.first_dt(chosen, tightest), spare)
