"""Spans of requests, in the SDK's own exporter and at a collector that listens."""

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from apps import ODESERVE, environment, running_app, serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.settings import OTLP_VARIABLES, Settings
from service.tracing import Spans

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
POINT = {"point": [0.0, 1.0]}


@pytest.fixture(scope="module")
def traced():
    """A client of an app whose spans are kept, and the exporter that keeps them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings(models_dir=CHECKPOINTS, models=("cnf-two-moons", "odenet-mnist"), lanes=4, shards=1)
    with running_app(settings, Spans(provider)) as client:
        yield client, exporter


def spans_of(traced, path, **request):
    client, exporter = traced
    exporter.clear()
    answer = client.post(path, **request)
    return answer, {span.name: span for span in exporter.get_finished_spans()}


def test_a_solve_has_spans_for_queue_solve_and_decode_with_its_cost(traced):
    begun = time.time_ns()
    answer, spans = spans_of(traced, "/density?tol=1e-3", json=POINT)
    ended = time.time_ns()
    assert answer.status_code == 200
    assert set(spans) == {"/density", "queue", "solve", "decode"}
    whole = spans["/density"]
    for name in ("queue", "solve", "decode"):
        span = spans[name]
        assert span.parent.span_id == whole.context.span_id
        assert span.attributes["odeserve.nfe"] == int(answer.headers["X-NFE"])
        assert span.attributes["odeserve.tol"] == 1e-3
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time
    assert spans["queue"].end_time == spans["solve"].start_time
    assert spans["solve"].end_time == spans["decode"].start_time
    assert spans["decode"].end_time > spans["decode"].start_time
    assert begun <= whole.start_time
    assert whole.end_time <= ended
    assert whole.attributes["odeserve.request_id"] == answer.headers["X-Request-ID"]
    assert whole.attributes["odeserve.model"] == "cnf-two-moons"
    taken = answer.json()["timing_ms"]
    assert (spans["queue"].end_time - spans["queue"].start_time) / 1e6 == pytest.approx(taken["queue"], abs=0.01)
    assert (spans["decode"].end_time - spans["solve"].start_time) / 1e6 == pytest.approx(taken["solve"], abs=0.01)


def test_a_callers_trace_goes_on(traced):
    _, spans = spans_of(traced, "/density", json=POINT, headers={"traceparent": PARENT, "tracestate": "a=b"})
    whole = spans["/density"]
    assert f"{whole.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{whole.parent.span_id:016x}" == "b7ad6b7169203331"
    assert whole.context.trace_state["a"] == "b"


@pytest.mark.parametrize("header", ["", "00-xyz", PARENT.replace("0af7", "0000" * 8), "ÿ".encode("latin-1")])
def test_a_header_that_is_none_begins_a_trace_of_its_own(traced, header):
    answer, spans = spans_of(traced, "/density", json=POINT, headers={"traceparent": header})
    assert answer.status_code == 200
    assert spans["/density"].parent is None


def test_a_caller_who_does_not_sample_is_not_exported(traced):
    answer, spans = spans_of(traced, "/density", json=POINT, headers={"traceparent": PARENT[:-1] + "0"})
    assert answer.status_code == 200
    assert spans == {}


def test_errors_of_callers_are_no_faults_and_late_answers_are(traced):
    _, wrong = spans_of(traced, "/density?tol=x", json=POINT)
    assert set(wrong) == {"/density"}
    assert wrong["/density"].status.is_unset
    assert wrong["/density"].attributes["odeserve.status"] == "invalid_input"
    answer, late = spans_of(traced, "/density?tol=1e-5&deadline_ms=0.01", json=POINT)
    assert answer.status_code == 504
    assert not late["/density"].status.is_ok
    assert late["/density"].status.description == "deadline"


def test_tries_of_auto_are_one_solve(traced):
    answer, spans = spans_of(traced, "/classify?tol=auto", json={"images": [[[0.5] * 28] * 28, [[0.0] * 28] * 28]})
    assert answer.status_code == 200
    assert spans["solve"].attributes["odeserve.nfe"] == int(answer.headers["X-NFE"])
    assert spans["decode"].end_time <= spans["/classify"].end_time


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as OpenTelemetry's HTTP protocol sends them."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.server.spans += [(names["service.name"], span) for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


def test_a_server_sends_its_spans_and_its_log_lines_name_their_trace(tmp_path):
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    collector.spans = []
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    out = tmp_path / "out"
    command = ("env", f"{OTLP_VARIABLES[0]}={endpoint}", ODESERVE)
    try:
        with (
            out.open("wb") as stream,
            serving(
                command, stdout=stream, MODELS_DIR=CHECKPOINTS, MODELS="cnf-two-moons", LANES=4, LOG_FORMAT="json"
            ) as server,
        ):
            httpx.post(f"{server.url}/density", json=POINT, headers={"traceparent": PARENT}).raise_for_status()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
    finally:
        collector.shutdown()
        collector.server_close()
    sent = {span.name: (name, span.trace_id.hex()) for name, span in collector.spans}
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert sent["/density"] == sent["solve"] == ("odeserve", trace)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["trace_id"] for line in lines if line.get("route") == "/density"] == [trace]


def test_a_collector_that_is_gone_delays_neither_answers_nor_the_end():
    command = ("env", f"{OTLP_VARIABLES[1]}=http://127.0.0.1:9/v1/traces", ODESERVE)
    with serving(command, stdout=subprocess.DEVNULL, MODELS_DIR=CHECKPOINTS, MODELS="cnf-two-moons", LANES=4) as server:
        for _ in range(20):
            httpx.post(f"{server.url}/density", json=POINT).raise_for_status()
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert time.monotonic() - begun < 15


def test_without_a_collector_opentelemetry_is_never_loaded():
    code = """
import sys
from service.serve import serve_until_stopped
import service.app, service.api.routes
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules), "loaded"
assert "service.tracing" not in sys.modules
"""
    done = subprocess.run(
        (sys.executable, "-W", "ignore", "-c", code), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_collector_without_the_extra_ends_the_start_with_what_to_install():
    # FastAPI brings OpenTelemetry's API along; what the extra adds is the SDK.
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; from service.cli import app; app()"
    done = subprocess.run(
        (sys.executable, "-c", code, "serve", "--port", "0"),
        env=environment() | {OTLP_VARIABLES[0]: "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "odeserve[otel]" in done.stderr
