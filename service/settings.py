"""Settings of the server. The only reader of the environment."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AllowInfNan, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "ODESERVE_"

OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own names for where spans go; the rest of its variables are its SDK's to read."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Comma-separated in the environment."""
Keys = Annotated[tuple[SecretStr, ...], NoDecode]
"""The same, shown nowhere."""
SECRET = {"api_keys"}


@dataclass(frozen=True)
class Unit:
    """What the number of a setting counts."""

    name: str


Seconds = Annotated[float, Unit("s"), AllowInfNan(False)]

_KEY = re.compile(r"[!-~]+")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+")


class SettingsError(ValueError):
    """A variable of the environment is unknown or wrong; the message names it."""


def available_cores() -> int:
    """Cores this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Every setting with its default; the environment overrides it as ODESERVE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    models_dir: Path = Field(default=Path("checkpoints"), description="folder of artifacts, <model>/<version>/")
    models: Names = Field(
        default=("*",), min_length=1, description="which to load: * or names, each with or without @version"
    )
    default_models: Names = Field(
        default=("odenet-mnist", "cnf-two-moons"), description="who answers when a request names no model"
    )
    model_control: Literal["none", "explicit"] = Field(
        default="none", description="explicit: models are loaded and unloaded by requests under /v2/repository"
    )
    backend: Literal["onnx", "torch"] = Field(default="onnx", description="exported graphs, or PyTorch's own step")
    device: str = Field(
        default="cpu", pattern=r"cpu|cuda(:\d+)?", description="of the torch backend: cpu, cuda, cuda:1"
    )
    shards: Annotated[int, Unit("threads")] = Field(
        default_factory=lambda: min(available_cores(), 4), ge=1, le=256, description="solver threads"
    )
    lanes: Annotated[int | None, Unit("rows")] = Field(
        default=None, ge=1, le=65536, description="rows in one step; measured when not set"
    )
    max_body_mb: Annotated[float, Unit("MiB"), AllowInfNan(False)] = Field(
        default=16, ge=0.001, description="largest request body, MiB"
    )
    max_items: Annotated[int, Unit("items")] = Field(
        default=20_000, ge=1, description="most items (rows of the solver) in a request"
    )
    max_pixels: Annotated[int, Unit("pixels")] = Field(
        default=25_000_000, ge=1, description="most pixels of a picture; of all in a request, four times as many"
    )
    max_nfe: Annotated[int, Unit("evaluations")] = Field(
        default=10_000, ge=1, description="most field evaluations an item may use"
    )
    queue_seconds: Seconds = Field(default=5, gt=0, description="most predicted seconds of work ahead of a request")
    max_seconds: Seconds = Field(default=60, gt=0, description="a request that takes longer ends with 504")
    body_seconds: Seconds = Field(
        default=30, gt=0, description="time in which a request's head must arrive, and then its body"
    )
    keep_alive_seconds: Annotated[int, Unit("s")] = Field(
        default=75, ge=0, description="how long an idle connection is kept"
    )
    lame_duck_seconds: Seconds = Field(
        default=0, ge=0, description="after a signal, /health/ready says 503 and everything else goes on as before"
    )
    drain_notice_seconds: Seconds = Field(default=0, ge=0, description="then, still listen and answer 503")
    drain_seconds: Seconds = Field(default=10, ge=0, description="then, for running requests to end")
    api_keys: Keys = Field(default=(), description="who may ask; nobody needs a key when not set")
    cors_origins: Names = Field(default=(), description="pages of other origins that may ask from a browser; * for all")
    root_path: str = Field(
        default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="prefix under which a proxy serves this server"
    )
    tls_cert: Path | None = Field(default=None, description="certificates as PEM, for https; with tls_key")
    tls_key: Path | None = Field(default=None, description="the private key of tls_cert, as PEM")
    log_format: Literal["text", "json"] = Field(default="text", description="of log lines, on standard output")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="info: a line for each request"
    )

    @field_validator("models", "default_models", "api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        if value.strip() and not words:
            raise ValueError("expected something between the commas")
        return words

    @field_validator("tls_cert", "tls_key", mode="before")
    @classmethod
    def _not_set(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("root_path", mode="before")
    @classmethod
    def _without_last_slash(cls, value: object) -> object:
        return value.rstrip("/") if isinstance(value, str) else value

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_KEY.fullmatch(key.get_secret_value()) for key in keys):
            raise ValueError("expected keys of visible ASCII characters, between commas")
        return keys

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("expected origins such as https://example.org, without a path, or *")
        return origins

    @model_validator(mode="after")
    def _both_or_none(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY: expected both or none")
        return self

    @property
    def names_defaults(self) -> bool:
        """Whether somebody chose the default models; the built-in ones need not be loaded."""
        return "default_models" in self.model_fields_set

    @property
    def max_body_bytes(self) -> int:
        """Bytes."""
        return int(self.max_body_mb * 2**20)


def traces_wanted() -> bool:
    """Whether the environment names a collector of spans."""
    return any(os.environ.get(name) for name in OTLP_VARIABLES)


def read_settings() -> Settings:
    """Settings of this process's environment.

    Errors: SettingsError naming the variable that is unknown or has a wrong value.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: unknown setting; known are {', '.join(sorted(known))}")
    try:
        return Settings()
    except ValidationError as error:
        # Not as the cause: pydantic's own text quotes what was given.
        raise SettingsError("; ".join(_wrong(e["loc"], e["msg"], e["input"]) for e in error.errors())) from None


def _wrong(location: tuple[int | str, ...], message: str, value: object) -> str:
    """What is wrong with a setting; a secret is not quoted."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    quoted = "" if location[0] in SECRET else f", got {value!r}"
    return f"{PREFIX}{location[0]}".upper() + f": {message}{quoted}"
