"""Request records turned into Prometheus metrics. The only importer of the client."""

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from node_model.calibration_table import CalibrationRow
from service.build import build_commit, build_version
from service.calibration import decades
from service.engine.program import ServedProgram
from service.engine.stats import EngineState, StepReport
from service.record import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = [1e-4 * 2**k for k in range(18)]
NFE = sorted({round(4 * math.sqrt(2) ** k) for k in range(21)})

BATCH = 64
"""What is to be counted is counted in batches: one by one, between other work, it takes three times as long."""
STATISTICS = ("mean", "p99")

# A time of creation beside every counter would double the lines of a scrape, and nothing reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Metrics of one server, in a registry of its own."""

    def __init__(self, backend: str, queue_seconds: float) -> None:
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
            "Field evaluations of lanes that were issued.",
            ["model", "method"],
            registry=registry,
        )
        self._useful = Counter(
            "odeserve_function_evaluations_useful",
            "Field evaluations of rows that ended while their caller waited.",
            ["model", "method"],
            registry=registry,
        )
        self._nfe_calibrated = Counter(
            "odeserve_request_nfe_calibrated",
            "Mean and p99 of NFE per item in calibration, summed over the requests that odeserve_request_nfe counts.",
            ["model", "tol_class", "statistic"],
            registry=registry,
        )
        self._loosened = Counter(
            "odeserve_tolerance_loosened",
            "Requests solved at a looser tolerance than they asked for, within their max_tol.",
            ["model"],
            registry=registry,
        )
        self._queued = Histogram(
            "odeserve_queue_duration_seconds",
            "From the arrival of a request to the start of its first row.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._solving = Histogram(
            "odeserve_solve_duration_seconds",
            "From the start of a request's first row to the end of its last.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._step = Histogram(
            "odeserve_engine_step_duration_seconds",
            "One turn of a shard: rows enter, every lane makes an attempt, ended rows leave.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._active = Gauge("odeserve_lanes_active", "Lanes taken.", ["model", "shard"], registry=registry)
        self._capacity = Gauge("odeserve_lanes_capacity", "Lanes there are.", ["model", "shard"], registry=registry)
        self._depth = Gauge("odeserve_queue_depth", "Requests with rows that wait for lanes.", registry=registry)
        self._work = Gauge(
            "odeserve_queued_work_seconds", "Predicted seconds until all that waits has started.", registry=registry
        )
        limit = Gauge(
            "odeserve_queued_work_limit_seconds",
            "Work ahead of a request above which it is refused.",
            registry=registry,
        )
        limit.set(queue_seconds)
        self._heartbeat = Gauge(
            "odeserve_engine_heartbeat_timestamp_seconds", "When a shard last turned.", ["shard"], registry=registry
        )
        self._model_info = Gauge(
            "odeserve_model_info", "Models being served.", ["model", "version", "task"], registry=registry
        )
        self._calibrated = Calibrated(registry)
        self._dropped = Counter(
            "odeserve_log_lines_dropped",
            "Log lines that were not written because nobody read those before them.",
            registry=registry,
        )
        self._writing = threading.Lock()
        self._noted: deque[tuple[RequestRecord, float] | StepReport] = deque()
        # The client's own lookup of a child takes a lock and turns every label into text, some 5 us.
        self._child = lru_cache(maxsize=None)(_labelled)
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
        self._loosened.labels(name)
        for method in methods:
            self._evaluations.labels(name, method)
            self._useful.labels(name, method)
            for outcome in ("accepted", "rejected"):
                self._steps.labels(name, method, outcome)

    def model_unloaded(self, name: str, model_version: str, task: str) -> None:
        """Say that a version is served no more. What it has counted stays counted."""
        self._model_info.remove(name, model_version, task)

    def calibrations_loaded(self, programs: Iterable[tuple[str, str, ServedProgram]]) -> None:
        """Say what was measured of these programs and no others, by decades of tolerance, and make their counters.

        `programs`: model, name, program.
        """
        with self._writing:  # a scrape sees all of them
            self._calibrated.clear()
            for model, name, served in programs:
                for row in decades(served):
                    tol_class = tolerance_class(row.tol)
                    self._calibrated.show(model, name, tol_class, row, served)
                    for statistic in STATISTICS:
                        self._nfe_calibrated.labels(model, tol_class, statistic)

    def line_dropped(self) -> None:
        """Count a log line that was not written. From any thread."""
        self._dropped.inc()

    def count(self, record: RequestRecord, seconds: float) -> None:
        """Count a request that has ended: the one place where that happens."""
        self._note((record, seconds))

    def step(self, report: StepReport) -> None:
        """Count a turn of a shard. From any thread."""
        self._note(report)

    def _note(self, entry: tuple[RequestRecord, float] | StepReport) -> None:
        self._noted.append(entry)
        if len(self._noted) >= BATCH:
            self._settle()

    def _settle(self) -> None:
        """Count what was noted. From any thread, and from several at once."""
        while self._noted:
            try:
                entry = self._noted.popleft()
            except IndexError:  # another thread was faster
                return
            if isinstance(entry, StepReport):
                self._count_step(entry)
            else:
                self._count_request(*entry)

    def _count_request(self, record: RequestRecord, seconds: float) -> None:
        child = self._child
        child(self._requests, record.route, record.model, record.status).inc()
        solve = record.solve
        tol_class = tolerance_class(solve.tol) if solve else "none"
        child(self._duration, record.route, record.model, tol_class).observe(seconds)
        if solve:
            child(self._nfe, record.model, tol_class).observe(solve.nfe_per_item)
            child(self._queued, record.model).observe(solve.queue_seconds)
            child(self._solving, record.model).observe(solve.solve_seconds)
            child(self._nfe_calibrated, record.model, tol_class, "mean").inc(solve.expected.mean)
            child(self._nfe_calibrated, record.model, tol_class, "p99").inc(solve.expected.p99)
            if solve.loosened:
                child(self._loosened, record.model).inc()

    def _count_step(self, report: StepReport) -> None:
        child, model, method, tally = self._child, report.model, report.method, report.tally
        child(self._step, model).observe(report.seconds)
        child(self._steps, model, method, "accepted").inc(tally.accepted)
        child(self._steps, model, method, "rejected").inc(tally.rejected)
        child(self._evaluations, model, method).inc(tally.issued)
        child(self._useful, model, method).inc(tally.useful)

    def text(self, state: EngineState) -> bytes:
        """The exposition of every metric, of CONTENT_TYPE. From any thread."""
        self._settle()
        with self._writing:
            self._show(state)
            return generate_latest(self._registry)

    def _show(self, state: EngineState) -> None:
        self._depth.set(state.queue_depth)
        self._work.set(state.queued_seconds)
        for gauge, lanes in ((self._active, state.lanes_active), (self._capacity, state.lanes_capacity)):
            gauge.clear()  # models come and go
            for (model, shard), count in lanes.items():
                gauge.labels(model, str(shard)).set(count)
        for shard, heartbeat in enumerate(state.heartbeats):
            self._heartbeat.labels(str(shard)).set(heartbeat)

    def value(self, name: str, labels: Mapping[str, str]) -> float | None:
        """One sample, None when there is no such child yet."""
        self._settle()
        return self._registry.get_sample_value(name, dict(labels))


class Calibrated:
    """What the calibration tables say: at each decade's own tolerance, by the method that auto takes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        at = ["model", "program", "tol_class"]
        self._nfe = Gauge(
            "odeserve_calibrated_nfe", "Field evaluations per item.", [*at, "statistic"], registry=registry
        )
        self._error = Gauge(
            "odeserve_calibrated_error_p99", "Error that 99 % of answers stay within.", [*at, "unit"], registry=registry
        )
        self._metric = Gauge("odeserve_calibrated_metric", "The task's own score.", [*at, "metric"], registry=registry)
        self._agreement = Gauge(
            "odeserve_calibrated_agreement", "Share of answers that agree with the reference's.", at, registry=registry
        )

    def clear(self) -> None:
        """Say nothing."""
        for gauge in (self._nfe, self._error, self._metric, self._agreement):
            gauge.clear()

    def show(self, model: str, program: str, tol_class: str, row: CalibrationRow, served: ServedProgram) -> None:
        """A row of a program's table."""
        at, calibration = (model, program, tol_class), served.spec.calibration
        assert calibration is not None  # noqa: S101 - the row is one of its own
        for value, gauge, labels in (
            (row.nfe_mean, self._nfe, (*at, "mean")),
            (row.nfe_p99, self._nfe, (*at, "p99")),
            (row.error_p99, self._error, (*at, calibration.unit)),
            (row.metric, self._metric, (*at, calibration.metric)),
            (row.agreement, self._agreement, at),
        ):
            if value is not None:
                gauge.labels(*labels).set(value)


def _labelled(metric: Any, *labels: str) -> Any:
    """The child of a metric. Labels come from closed sets only, so that there are few."""
    return metric.labels(*labels)


def tolerance_class(tol: float) -> str:
    """Decade of a tolerance, rounded down: 5e-3 -> `1e-3`."""
    # 1e-3 has a logarithm a hair below -3
    return f"1e{math.floor(math.log10(tol) + 1e-9)}"
