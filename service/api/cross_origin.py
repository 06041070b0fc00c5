"""Answers that pages of other origins may read."""

from collections.abc import Iterable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

SENT = (
    "Authorization",
    "X-API-Key",
    "X-Request-ID",
    "Content-Type",
    "Content-Encoding",
    "Traceparent",
    "Inference-Header-Content-Length",
)
"""Headers that a page may send."""
READ = (
    "X-Request-ID",
    "X-NFE",
    "X-Tol",
    "X-Seed",
    "Server-Timing",
    "Retry-After",
    "WWW-Authenticate",
    "Inference-Header-Content-Length",
)
"""Headers that a page may read."""
PREFLIGHT_SECONDS = 3600


def cross_origin(app: ASGIApp, origins: Iterable[str]) -> ASGIApp:
    """An app that tells browsers which origins may ask. No cookies are known, so none are allowed: keys are headers."""
    return CORSMiddleware(
        app,
        allow_origins=tuple(origins),
        allow_methods=("GET", "POST"),
        allow_headers=SENT,
        expose_headers=READ,
        max_age=PREFLIGHT_SECONDS,
    )
