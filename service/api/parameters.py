"""Query parameters: which are known, and what they come to for a model."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from node_model.calibration_table import TolLimits
from service.api.errors import ApiError, Code, invalid
from service.engine.draws import SEED_LIMIT
from service.models import LoadedModel, Models, UnknownModelError

SOLVER = {
    "model": "`name` (its highest version) or `name@version`; default: the server's default for this route",
    "tol": "rtol and atol together; default: the model's",
    "rtol": "relative tolerance, instead of tol's half",
    "atol": "absolute tolerance, instead of tol's half",
    "max_tol": "a looser tolerance that will do when the deadline is near or the server busy; the answer says which",
    "method": "a method of the model, or auto: the cheapest that is accurate enough",
    "max_nfe": "budget of field evaluations per item; default: 10 times the calibrated p99",
    "deadline_ms": "refuse at once what is not likely to be answered within so many milliseconds, and give up after",
    "partial": "true: items that fail say so and the others are answered; false: one failure ends the request",
}
"""Parameters of every route that solves."""
AUTO = {"tol": f"{SOLVER['tol']}; auto: as tight as it takes for a stable label, item by item"}
"""How /classify reads them."""
TRACE = {
    "trace": "exact, or hutchinson where the model was exported with it",
    "probes": "with trace=hutchinson: random probes per point, 1 to 256, default 8",
    "seed": "with trace=hutchinson: of the probes; drawn and told when missing",
}
"""Further parameters of /density."""
HUTCHINSON = "log_density_hutchinson"
"""The program that trace=hutchinson runs."""
DEFAULT_PROBES = 8
MOST_PROBES = 256
LEAST_DEADLINE_MS = 0.001
_TOLERANCE = {"type": "number", "exclusiveMinimum": 0}
KINDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string"},
    "tol": _TOLERANCE,
    "rtol": _TOLERANCE,
    "atol": _TOLERANCE,
    "max_tol": _TOLERANCE,
    "method": {"type": "string", "default": "auto"},
    "max_nfe": {"type": "integer", "minimum": 1},
    "deadline_ms": {"type": "number", "minimum": LEAST_DEADLINE_MS},
    "partial": {"type": "boolean", "default": False},
    "trace": {"type": "string", "enum": ["exact", "hutchinson"], "default": "exact"},
    "probes": {"type": "integer", "minimum": 1, "maximum": MOST_PROBES, "default": DEFAULT_PROBES},
    "seed": {"type": "integer", "minimum": 0, "maximum": SEED_LIMIT - 1},
}
"""What a parameter's text is, of any model: handlers and the OpenAPI text both read it. Models have narrower limits."""
AUTO_KINDS = {"tol": {"anyOf": [_TOLERANCE, {"type": "string", "const": "auto"}]}}
"""How /classify reads them."""
EXAMPLES = {
    "model": "odenet-mnist",
    "tol": 0.01,
    "rtol": 0.01,
    "atol": 0.001,
    "max_tol": 0.1,
    "method": "auto",
    "max_nfe": 500,
    "deadline_ms": 1000,
    "partial": True,
    "trace": "exact",
    "probes": 8,
    "seed": 7,
}
"""Of each parameter."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_COUNT = re.compile(r"\d{1,19}", re.ASCII)


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

    def probes(self) -> Probes | None:
        """None for the exact trace."""
        trace = self.word("trace", tuple(KINDS["trace"]["enum"]))
        probes = self.drawn_probes()
        if trace == "hutchinson":
            return probes
        for name in ("probes", "seed"):
            if name in self._given:
                raise invalid(name, "only with trace=hutchinson")
        return None

    def drawn_probes(self) -> Probes:
        """How many and from which seed, where the trace is estimated anyway."""
        return Probes(self.count("probes", *_bounds("probes")) or DEFAULT_PROBES, self.seed())

    def seed(self) -> int | None:
        """Of what the server draws; None when it was not given."""
        return self.count("seed", *_bounds("seed"))

    def given(self, *names: str) -> list[str]:
        """Which of some names the query has."""
        return [name for name in names if name in self._given]

    def text(self, name: str) -> str | None:
        """As it was sent."""
        return self._given.get(name)

    def tolerance(self, name: str, limits: TolLimits, default: float) -> float:
        """A tolerance within the limits."""
        found = self.number(name, limits.tightest, limits.loosest)
        return default if found is None else found

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds; None when it was not given."""
        text = self._given.get(name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text) or not least <= float(text) <= most:
            expected = f"expected a number from {least:g} to {most:g}"
            raise invalid(name, f"{expected}; got {text[:80]!r}", least=least, most=most)
        return float(text)

    def count(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds; None when it was not given."""
        text = self._given.get(name)
        if text is None:
            return None
        if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
            raise invalid(name, f"expected a whole number from {least} to {most}; got {text[:80]!r}")
        return int(text)

    def word(self, name: str, words: tuple[str, ...]) -> str:
        """One of `words`, the first of which is the default."""
        text = self._given.get(name, words[0])
        if text not in words:
            raise invalid(name, f"expected {' or '.join(words)}; got {text[:80]!r}")
        return text


def _bounds(name: str) -> tuple[int, int]:
    return KINDS[name]["minimum"], KINDS[name]["maximum"]


def documented_parameters(
    names: dict[str, str], kinds: Mapping[str, dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Query parameters for OpenAPI; `kinds` where they differ from KINDS."""
    schemas = KINDS | dict(kinds or {})
    return [
        {
            "name": name,
            "in": "query",
            "description": text,
            "schema": schemas.get(name, {"type": "string"}),
            # Swagger's page fills `example` into its form and would send it, so there are `examples`, none chosen.
            **({"examples": {"value": {"value": EXAMPLES[name]}}} if name in EXAMPLES else {}),
        }
        for name, text in names.items()
    ]
