"""The options of every command that has something solved, in one place: whom to ask, how to solve, what comes out."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from service.commands import options

if TYPE_CHECKING:
    from service.commands.client import Client

TAKEN_BY = "asking"
"""The parameter of a command in whose place its users find the options."""


@dataclass(frozen=True)
class Asking:
    """What the options came to."""

    model: options.Model = None
    tol: options.Tol = None
    max_tol: options.MaxTol = None
    method: options.Method = None
    max_nfe: options.MaxNfe = None
    deadline_ms: options.DeadlineMs = None
    partial: options.Partial = False
    url: options.Url = options.DEFAULT_URL
    api_key: options.ApiKey = None
    cacert: options.CaCert = None
    local: options.Local = False
    as_json: options.AsJson = False

    @property
    def query(self) -> dict[str, Any]:
        """Of a request; what was not given is None or False."""
        names = ("model", "tol", "max_tol", "method", "max_nfe", "deadline_ms", "partial")
        return {name: getattr(self, name) for name in names}

    def connected(self, program: str) -> AbstractContextManager["Client"]:
        """Somebody to ask who runs a program; see client.connected."""
        from service.commands.client import Target, connected

        target = Target(self.url, self.api_key, self.cacert, self.local)
        return connected(target, program=program, model=self.model, as_json=self.as_json)


def asks(**instead: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options in place of its parameter `asking`. `instead`: those of another kind, by name."""
    shared = [
        option.replace(annotation=instead.get(name, option.annotation), kind=inspect.Parameter.KEYWORD_ONLY)
        for name, option in inspect.signature(Asking).parameters.items()
    ]

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            parameters += shared if name == TAKEN_BY else [parameter]

        @wraps(command)
        def asked(**given: Any) -> None:
            chosen = {option.name: given.pop(option.name) for option in shared}
            command(**given, **{TAKEN_BY: Asking(**chosen)})

        # How typer finds out what a command takes.
        asked.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        asked.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return asked

    return with_options
