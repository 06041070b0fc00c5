"""Query parameters: which are known, and what they come to for a model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from node_model.manifest import ProgramSpec
from service.api.errors import ApiError, Code, invalid
from service.engine.cost import CostTable
from service.engine.draws import SEED_LIMIT
from service.models import LoadedModel, Models, UnknownModelError

SOLVER = {
    "model": "`name` (its highest version) or `name@version`; default: the server's default for this route",
    "tol": "rtol and atol together; default: the model's",
    "rtol": "relative tolerance, instead of tol's half",
    "atol": "absolute tolerance, instead of tol's half",
    "method": "a method of the model, or auto: the cheapest that is accurate enough",
    "max_nfe": "budget of field evaluations per item; default: 10 times the calibrated p99",
    "partial": "true: items that fail say so and the others are answered; false: one failure ends the request",
}
"""Parameters of every route that solves."""
TRACE = {
    "trace": "exact, or hutchinson where the model was exported with it",
    "probes": "with trace=hutchinson: random probes per point, 1 to 256, default 8",
    "seed": "with trace=hutchinson: of the probes; drawn and told when missing",
}
"""Further parameters of /density."""
DEFAULT_PROBES = 8
MOST_PROBES = 256

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_COUNT = re.compile(r"\d{1,19}")


@dataclass(frozen=True)
class Choice:
    """How a request is to be solved: the same for all its items."""

    method: str
    rtol: float
    atol: float
    max_nfe: int
    partial: bool

    @property
    def loosest(self) -> float:
        """The tolerance that the error follows."""
        return max(self.rtol, self.atol)


@dataclass(frozen=True)
class Probes:
    """Hutchinson's estimate: `count` probes a point, drawn from `seed`; None: choose one."""

    count: int
    seed: int | None


class Parameters:
    """The query of a request, each name known and given once.

    Errors: every method raises ApiError 422 naming the parameter and what was expected.
    """

    def __init__(self, query: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
        self._given: dict[str, str] = {}
        names = list(known)
        for name, value in query:
            if name not in names:
                known_ones = f"known are {', '.join(names)}" if names else "there are none here"
                raise invalid(name[:80], f"unknown parameter; {known_ones}", known=names)
            if name in self._given:
                raise invalid(name, "given more than once")
            self._given[name] = value

    def model(self, models: Models, program: str, route: str) -> LoadedModel:
        """The model asked for, or the default. Errors: 404 for an unknown one."""
        able = models.with_program(program)
        wanted = self._given.get("model")
        if wanted is None:
            chosen = models.default_for(program)
            if chosen is None:
                names = ", ".join(able) or "no loaded model"
                raise invalid("model", f"{route} needs one; {names} can answer it", known=able)
            return chosen
        try:
            model = models.find(wanted)
        except UnknownModelError as error:
            raise ApiError(Code.UNKNOWN_MODEL, str(error), {"known": models.names}) from error
        if program not in model.programs:
            names = ", ".join(able) or "no loaded model"
            raise invalid(
                "model", f"{model.name} is a {model.manifest.task} model; {names} can answer {route}", known=able
            )
        return model

    def choice(self, spec: ProgramSpec, cost: CostTable, most_nfe: int) -> Choice:
        """Tolerances, method and budget for a program."""
        tol = self._tolerance("tol", spec, spec.tol.default)
        rtol, atol = self._tolerance("rtol", spec, tol), self._tolerance("atol", spec, tol)
        method = self._given.get("method", "auto")
        if method == "auto":
            method = cost.cheapest_method(rtol, atol)
        elif method not in spec.methods:
            raise invalid("method", f"expected auto, {', '.join(spec.methods)}; got {method[:80]!r}")
        max_nfe = self._count("max_nfe", 1, most_nfe) or cost.max_nfe(method, min(rtol, atol), most_nfe)
        return Choice(method, rtol, atol, max_nfe, self._word("partial", ("false", "true")) == "true")

    def probes(self) -> Probes | None:
        """None for the exact trace."""
        trace: Literal["exact", "hutchinson"] | str = self._word("trace", ("exact", "hutchinson"))
        count, seed = self._count("probes", 1, MOST_PROBES), self._count("seed", 0, SEED_LIMIT - 1)
        if trace == "hutchinson":
            return Probes(count or DEFAULT_PROBES, seed)
        for name in ("probes", "seed"):
            if name in self._given:
                raise invalid(name, "only with trace=hutchinson")
        return None

    def _tolerance(self, name: str, spec: ProgramSpec, default: float) -> float:
        text = self._given.get(name)
        if text is None:
            return default
        limits = spec.tol
        expected = f"expected a number from {limits.tightest:g} to {limits.loosest:g}"
        if not _NUMBER.fullmatch(text) or not limits.tightest <= float(text) <= limits.loosest:
            raise invalid(name, f"{expected}; got {text[:80]!r}", tightest=limits.tightest, loosest=limits.loosest)
        return float(text)

    def _count(self, name: str, least: int, most: int) -> int | None:
        text = self._given.get(name)
        if text is None:
            return None
        if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
            raise invalid(name, f"expected a whole number from {least} to {most}; got {text[:80]!r}")
        return int(text)

    def _word(self, name: str, words: tuple[str, ...]) -> str:
        """One of `words`, the first of which is the default."""
        text = self._given.get(name, words[0])
        if text not in words:
            raise invalid(name, f"expected {' or '.join(words)}; got {text[:80]!r}")
        return text


def documented_parameters(names: dict[str, str]) -> list[dict[str, Any]]:
    """Query parameters for OpenAPI."""
    kinds = {"tol": "number", "rtol": "number", "atol": "number", "partial": "boolean"}
    kinds |= dict.fromkeys(("max_nfe", "probes", "seed"), "integer")
    return [
        {"name": name, "in": "query", "description": text, "schema": {"type": kinds.get(name, "string")}}
        for name, text in names.items()
    ]
