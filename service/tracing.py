"""Requests told to OpenTelemetry: a span each, with queue, solve and decode inside it. An optional extra, `otel`.

Spans are made when a request has ended, from its record, so that nothing of this is in the way while it is solved.
"""

import threading
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from service.build import build_version
from service.record import RequestRecord, SolveRecord

FLUSH_SECONDS = 3.0
"""At the end, for spans that still wait for their collector."""
FAULTS = ("internal", "not_ready", "deadline")
"""What is the server's failure, as opposed to the caller's."""


class Spans:
    """Ended requests as spans of a provider. A caller's `traceparent` is their parent."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("odeserve")
        self._headers = TraceContextTextMapPropagator()

    @classmethod
    def exported(cls) -> "Spans":
        """To the collector, at the rate and under the names, that OpenTelemetry's own variables say."""
        named = Resource.create({SERVICE_NAME: "odeserve", SERVICE_VERSION: build_version()})
        provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def record(self, record: RequestRecord, seconds: float) -> None:
        """Tell of a request that has just ended, and note its trace id."""
        ended = time.time_ns()
        begun = ended - _nanoseconds(seconds)
        parent = self._headers.extract(record.trace_context or {})
        span = self._tracer.start_span(record.route, parent, SpanKind.SERVER, start_time=begun)
        if span.is_recording():
            told: dict[str, AttributeValue] = {
                "http.route": record.route,
                "odeserve.request_id": record.request_id,
                "odeserve.model": record.model,
                "odeserve.status": record.status,
            }
            span.set_attributes(told)
            if record.status in FAULTS:
                span.set_status(StatusCode.ERROR, record.status)
            if record.solve:
                self._record_solve(span, begun, record.solve)
        span.end(ended)
        record.trace_id = format_trace_id(span.get_span_context().trace_id)

    def _record_solve(self, parent: Span, begun: int, solve: SolveRecord) -> None:
        cost: dict[str, AttributeValue] = {
            "odeserve.nfe": solve.nfe,
            "odeserve.tol": solve.tol,
            "odeserve.method": solve.method,
            "odeserve.items": solve.items,
        }
        parent.set_attributes(cost)
        within, at = set_span_in_context(parent), begun
        for name, taken in (
            ("queue", solve.queue_seconds),
            ("solve", solve.solve_seconds - solve.decode_seconds),
            ("decode", solve.decode_seconds),
        ):
            span = self._tracer.start_span(name, within, start_time=at, attributes=cost)
            at += _nanoseconds(taken)
            span.end(at)

    def close(self) -> None:
        """Send what waits, unless the collector does not take it in time."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(FLUSH_SECONDS)


def _nanoseconds(seconds: float) -> int:
    return round(1e9 * seconds)
