"""Counters of requests made before the first of them comes, so that it is a change from 0 and rate() sees it."""

from collections.abc import Iterable

from service.api.about import MODEL_PATHS
from service.api.context import Context
from service.api.errors import Code
from service.api.routes import SOLVE_CODES, SOLVING, TRAJECTORY
from service.api.v2.routes import INFER_PATHS
from service.models import Models

BODY_CODES = (Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.BODY_TIMEOUT)


def expect_requests(context: Context, paths: Iterable[str]) -> None:
    """Of every route, with what its requests can come to before their model is known, or without one."""
    metrics, guarded = context.metrics, [Code.UNAUTHORIZED] if context.settings.api_keys else []
    everywhere = [Code.INVALID_INPUT, Code.NOT_READY, Code.METHOD_NOT_ALLOWED, Code.INTERNAL, "cancelled"]
    metrics.expect("none", ["none"], [Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED, *guarded])
    for path in paths:
        # Keys are looked at before a path with parameters is known for what it is: such requests have no route.
        metrics.expect(path, ["none"], everywhere if "{" in path else [*everywhere, *guarded])
        if path in (*SOLVING, *INFER_PATHS) or "{" in path:
            metrics.expect(path, ["none"], [Code.UNKNOWN_MODEL])
        else:
            metrics.expect(path, ["none"], ["ok"])
    # Its body comes first, because it says which models are meant.
    metrics.expect(TRAJECTORY, ["none"], BODY_CODES)


def expect_of(context: Context, models: Models) -> None:
    """Of every route that asks for one of these models."""
    after = ["ok", "partial", "cancelled", *sorted(set(SOLVE_CODES) - {Code.UNKNOWN_MODEL})]
    for route, programs in SOLVING.items():
        names = {name for program in programs for name in models.with_program(program)}
        context.metrics.expect(route, names, after)
    for route in INFER_PATHS:
        context.metrics.expect(route, models.names, after)
    for path in MODEL_PATHS:
        context.metrics.expect(path, models.names, ["ok", Code.INVALID_INPUT])
