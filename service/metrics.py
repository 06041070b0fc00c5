"""Request records turned into Prometheus metrics. The only importer of the client."""

import math
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.build import build_commit, build_version
from service.record import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = [1e-4 * 2**k for k in range(18)]
NFE = sorted({round(4 * math.sqrt(2) ** k) for k in range(21)})

# A time of creation beside every counter would double the lines of a scrape, and nothing reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Metrics of one server, in a registry of its own."""

    def __init__(self, backend: str) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "odeserve_requests",
            "Requests answered; status is ok, partial, cancelled or the error's code.",
            ["route", "model", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "odeserve_request_duration_seconds",
            "From the arrival of the headers to the end of the answer.",
            ["route", "model", "tol_class"],
            buckets=SECONDS,
            registry=registry,
        )
        self._nfe = Histogram(
            "odeserve_request_nfe",
            "Mean field evaluations per item of a request.",
            ["model", "tol_class"],
            buckets=NFE,
            registry=registry,
        )
        self._steps = Counter(
            "odeserve_solver_steps",
            "Steps tried by lanes.",
            ["model", "method", "outcome"],
            registry=registry,
        )
        self._evaluations = Counter(
            "odeserve_function_evaluations",
            "Field evaluations of lanes.",
            ["model", "method"],
            registry=registry,
        )
        self._model_info = Gauge(
            "odeserve_model_info", "Models being served.", ["model", "version", "task"], registry=registry
        )
        info = Gauge("odeserve_build_info", "This server.", ["version", "commit", "backend"], registry=registry)
        info.labels(build_version(), build_commit(), backend).set(1)

    def expect(self, route: str, models: Iterable[str], statuses: Iterable[str]) -> None:
        """Make the counters of a route, so that their first request is a change from 0 and rate() sees it."""
        wanted = list(statuses)
        for model in models:
            for status in wanted:
                self._requests.labels(route, model, status)

    def model_loaded(self, name: str, model_version: str, task: str, methods: Iterable[str]) -> None:
        """Say that a model is served, and make its counters."""
        self._model_info.labels(name, model_version, task).set(1)
        for method in methods:
            self._evaluations.labels(name, method)
            for outcome in ("accepted", "rejected"):
                self._steps.labels(name, method, outcome)

    def count(self, record: RequestRecord, seconds: float) -> None:
        """Count a request that has ended: the one place where that happens."""
        self._requests.labels(record.route, record.model, record.status).inc()
        solve = record.solve
        tol_class = tolerance_class(solve.tol) if solve else "none"
        self._duration.labels(record.route, record.model, tol_class).observe(seconds)
        if solve:
            self._nfe.labels(record.model, tol_class).observe(solve.nfe_per_item)
            self._steps.labels(record.model, solve.method, "accepted").inc(solve.accepted)
            self._steps.labels(record.model, solve.method, "rejected").inc(solve.rejected)
            self._evaluations.labels(record.model, solve.method).inc(solve.evaluations)

    def text(self) -> bytes:
        """The exposition of every metric, of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def value(self, name: str, labels: Mapping[str, str]) -> float | None:
        """One sample, None when there is no such child yet."""
        return self._registry.get_sample_value(name, dict(labels))


def tolerance_class(tol: float) -> str:
    """Decade of a tolerance, rounded down: 5e-3 -> `1e-3`."""
    # 1e-3 has a logarithm a hair below -3
    return f"1e{math.floor(math.log10(tol) + 1e-9)}"
