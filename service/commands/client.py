"""One server to ask, over HTTP or in this process; what it refuses, and what to do about it."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx
import typer

from node_model.errors import ArtifactError
from service.commands.console import waiting
from service.commands.ending import ExitCode, complain, fail
from service.commands.options import KEY_VARIABLE, URL_VARIABLE
from service.settings import SettingsError

CONNECT_SECONDS, READ_SECONDS = 5.0, 600.0
SCHEMES = ("http", "https")
NOT_UNDERSTOOD = "not_understood"
"""Of an answer that is not odeserve's; no code of the API."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""Of OpenSSL."""
ADVICE = {
    "unauthorized": f"give a key: --api-key KEY, or {KEY_VARIABLE} in the environment",
    "unknown_model": "name one of them with --model",
    "queue_full": "ask again then, or say with --max-tol which looser tolerance would do",
    "not_ready": "ask again in a moment",
    "deadline": "give more with --deadline-ms, or say with --max-tol which looser tolerance would do",
    "solver_failed": "with --partial the other items are answered",
    "too_large": "ask for fewer at once",
}
"""What a user of the command line can do, by the code of an error."""


@dataclass(frozen=True)
class Target:
    """Whom to ask. `local`: nobody, the app runs in this process; None: of a command that asks nobody without --url."""

    url: str
    api_key: str | None = None
    cacert: Path | None = None
    local: bool | None = None

    @property
    def base(self) -> httpx.URL:
        """Errors: BadParameter for what is no address of a server."""
        try:
            url = httpx.URL(self.url if "://" in self.url else f"http://{self.url}")
        except httpx.InvalidURL as error:
            raise typer.BadParameter(f"expected http://host:port; {error}", param_hint="--url") from error
        if url.scheme not in SCHEMES or not url.host:
            raise typer.BadParameter(f"expected http://host:port, got {self.url!r}", param_hint="--url")
        return url

    @property
    def headers(self) -> dict[str, str]:
        """Errors: BadParameter for a key that no server can have."""
        if self.api_key is None:
            return {}
        if not self.api_key.isascii() or not self.api_key.isprintable():
            raise typer.BadParameter("expected visible ASCII characters", param_hint="--api-key")
        return {"X-API-Key": self.api_key}

    @property
    def trusted(self) -> ssl.SSLContext:
        """Errors: BadParameter for a file without certificates."""
        try:
            return ssl.create_default_context(cafile=self.cacert)
        except OSError as error:
            raise typer.BadParameter(f"{self.cacert}: expected certificates as PEM", param_hint="--cacert") from error


@dataclass(frozen=True)
class Answer:
    """What a server said. `content` as it came."""

    content: bytes
    headers: Mapping[str, str]

    @cached_property
    def document(self) -> Any:
        """Of JSON."""
        return json.loads(self.content)


class RefusedError(Exception):
    """The server answered with an error; `content` is all of it."""

    def __init__(self, code: str, message: str, content: bytes, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.content = content
        self._retry_after = retry_after

    def __str__(self) -> str:
        """With the code, when to come again, and what to do."""
        again = f" (Retry-After: {self._retry_after} s)" if self._retry_after else ""
        advice = f"\n  {ADVICE[self.code]}" if self.code in ADVICE else ""
        return f"{self.code}: {self.args[0]}{again}{advice}"

    @property
    def of_all(self) -> bool:
        """Whether every other request would be refused like this one."""
        return self.code in ("unauthorized", "not_ready", NOT_UNDERSTOOD)

    @property
    def exit_code(self) -> ExitCode:
        """Of a command that gets no further."""
        return ExitCode.UNREACHABLE if self.code == "not_ready" else ExitCode.FAILED


class Client:
    """Asks one server. Errors: RefusedError, httpx.TransportError."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str) -> Answer:
        """`path` below the server's address."""
        return self._answer(self._http.get(path))

    def text(self, path: str) -> str:
        """What is no JSON, of a server that has been seen to be one."""
        response = self._http.get(path)
        if not response.is_success:
            raise _refusal(response)
        return response.text

    def model(self, name: str, what: str = "") -> Answer:
        """/models/{name}, or something below it."""
        # Words of a shell may be no text.
        return self.get(f"/models/{quote(name, safe='@', errors='replace')}{what}")

    def post(self, path: str, query: Mapping[str, Any], content: bytes, media_type: str) -> Answer:
        """`query`: what is None or False is not sent."""
        given = {name: _text(value) for name, value in query.items() if value is not None and value is not False}
        headers = {"Content-Type": media_type, "Accept": "application/json"}
        return self._answer(self._http.post(path, params=given, content=content, headers=headers))

    @staticmethod
    def _answer(response: httpx.Response) -> Answer:
        kind = response.headers.get("Content-Type", "nothing")
        if response.is_success and kind.startswith("application/json"):
            return Answer(response.content, response.headers)
        raise _refusal(response)


def _refusal(response: httpx.Response) -> RefusedError:
    """What was answered instead."""
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        kind = response.headers.get("Content-Type", "nothing")
        message = f"{response.url} answered {response.status_code} with {kind}; is it an odeserve server?"
        return RefusedError(NOT_UNDERSTOOD, message, response.content)
    return RefusedError(code, message, response.content, response.headers.get("Retry-After"))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def connected(
    target: Target, *, program: str | None = None, model: str | None = None, as_json: bool = False
) -> Iterator[Client]:
    """Somebody to ask; ends the command when that is not to be had, or when an error is not caught inside.

    `program`, `model`: what a local one has to load. `as_json`: errors of the server are printed as it sent them, too.
    """
    try:
        with _http(target, program, model) as http:
            yield Client(http)
    except RefusedError as error:
        tell(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from error
    except (ArtifactError, SettingsError) as error:
        fail(error)
    except (httpx.RequestError, UnicodeError) as error:
        _unreachable(target, error)


def tell(error: RefusedError, *, as_json: bool, about: str = "") -> None:
    """Say what the server refused."""
    if as_json and error.code != NOT_UNDERSTOOD:
        typer.echo(error.content)
    complain(f"{about}: {error}" if about else error)


@contextmanager
def _http(target: Target, program: str | None, model: str | None) -> Iterator[httpx.Client]:
    if target.local:
        from service.commands.local import InProcess

        with waiting("loading models"):
            transport = InProcess(program, model)
        with httpx.Client(transport=transport, base_url="http://in-this-process") as http:
            yield http
        return
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(base_url=target.base, headers=target.headers, verify=target.trusted, timeout=timeout) as http:
        yield http


def _unreachable(target: Target, error: Exception) -> NoReturn:
    """Ends the command, saying how to have a server."""
    if UNTRUSTED in str(error):
        fail(f"{target.url}: its certificate is not trusted; --cacert FILE names one to trust", ExitCode.UNREACHABLE)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        another, without = f"--url URL, or {URL_VARIABLE} in the environment", "--local"
        if target.local is None:
            another, without = "--url URL", "leave --url away"
        fail(
            f"nobody answers at {target.url} ({error})\n"
            "  start a server:       odeserve serve\n"
            f"  ask another one:      {another}\n"
            f"  or do without one:    {without}",
            ExitCode.UNREACHABLE,
        )
    fail(f"{target.url}: no answer: {error or type(error).__name__}", ExitCode.UNREACHABLE)
