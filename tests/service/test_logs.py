"""Log lines: what they say, and that nobody waits for whoever reads them."""

import json
import logging
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from apps import ODESERVE, environment, eventually, serving

from service.logs import MOST_LINES, log_request, logging_to
from service.record import NfeBand, RequestRecord, SolveRecord

# A shipped model: these tests need none of the tiny ones, which take long to make.
MODEL = {"MODELS_DIR": Path(__file__).parents[2] / "checkpoints", "MODELS": "cnf-two-moons", "LANES": 4}
POINT = {"point": [0.0, 1.0]}
SOLVE = SolveRecord(
    tol=1e-3,
    method="dopri5",
    items=2,
    nfe=38,
    nfe_per_item=19.0,
    expected=NfeBand(19.0, 25.0),
    queue_seconds=0.0012,
    solve_seconds=0.0234,
    decode_seconds=0.0001,
    predicted_seconds=0.02,
    loosened=False,
)


@contextmanager
def written(form, level="info"):
    """Lines that are logged meanwhile, in a list that is filled at the end."""
    reader, writer = os.pipe()
    lines = []
    try:
        with logging_to(writer, form=form, level=level, dropped=lambda: None):
            yield lines
    finally:
        os.close(writer)
        with os.fdopen(reader) as stream:
            lines += stream.read().splitlines()
        logging.getLogger().setLevel(logging.WARNING)


def solved(**changes):
    return RequestRecord("abc-1", 0.0, route="/classify", model="digits", solve=SOLVE, **changes)


def test_a_json_line_says_what_a_request_was_and_what_it_cost():
    with written("json") as lines:
        log_request(solved(trace_id="0af7651916cd43dd8448eb211c80319c"), 0.0251)
    line = json.loads(lines[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "odeserve.request",
        "request_id": "abc-1",
        "route": "/classify",
        "model": "digits",
        "status": "ok",
        "total_ms": 25.1,
        "tol": 0.001,
        "method": "dopri5",
        "items": 2,
        "nfe": 38,
        "queue_ms": 1.2,
        "solve_ms": 23.4,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


def test_a_text_line_has_the_same_words():
    with written("text") as lines:
        log_request(solved(), 0.0251)
    assert lines[0].endswith(
        "INFO odeserve.request: request_id=abc-1 route=/classify model=digits status=ok total_ms=25.1 tol=0.001 "
        "method=dopri5 items=2 nfe=38 queue_ms=1.2 solve_ms=23.4"
    )


def test_what_was_not_solved_has_no_cost():
    with written("json") as lines:
        log_request(RequestRecord("x", 0.0, route="/classify", status="invalid_input"), 0.001)
    assert not {"tol", "nfe", "queue_ms", "trace_id"} & set(json.loads(lines[0]))


def test_probes_that_go_well_are_for_debug_alone():
    probes = [RequestRecord("x", 0.0, route="/health/live", status=status) for status in ("ok", "not_ready")]
    for level, expected in (("debug", ["ok", "not_ready"]), ("info", ["not_ready"]), ("warning", [])):
        with written("json", level) as lines:
            for probe in probes:
                log_request(probe, 0.001)
        assert [json.loads(line)["status"] for line in lines] == expected


def test_a_fault_is_one_line_of_json_with_its_traceback():
    with written("json") as lines:
        try:
            raise ValueError("broken\nin two")
        except ValueError:
            logging.getLogger("odeserve").exception("request %s failed", "abc")
    line = json.loads(lines[0])
    assert line["message"] == "request abc failed"
    assert "ValueError: broken" in line["exception"]
    assert len(lines) == 1


def test_lines_that_nobody_reads_are_dropped_and_counted_and_nobody_waits():
    reader, writer = os.pipe()
    dropped = []
    try:
        with logging_to(writer, form="text", level="info", dropped=lambda: dropped.append(1)):
            log = logging.getLogger("odeserve")
            slowest = 0.0
            for number in range(3 * MOST_LINES):
                begun = time.perf_counter()
                log.info("line %d of many", number)
                slowest = max(slowest, time.perf_counter() - begun)
        assert dropped
        assert slowest < 2
    finally:
        os.close(reader)
        os.close(writer)
        logging.getLogger().setLevel(logging.WARNING)


def test_every_request_has_one_line_under_its_id(tmp_path):
    out = tmp_path / "out"
    with (
        out.open("wb") as stream,
        serving(LOG_FORMAT="json", stdout=stream, **MODEL) as server,
    ):
        for number in range(20):
            headers = {"X-Request-ID": f"request-{number}"}
            assert httpx.post(f"{server.url}/density", json=POINT, headers=headers).status_code == 200
        wrong = httpx.post(f"{server.url}/density?tol=x", json=POINT, headers={"X-Request-ID": "wrong"})
        assert wrong.status_code == 422
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert any("odeserve is ready on" in line.get("message", "") for line in lines)
    told = {line["request_id"]: line for line in lines if line.get("route") == "/density"}
    assert sorted(told) == sorted([*(f"request-{number}" for number in range(20)), "wrong"])
    assert told["wrong"]["status"] == "invalid_input"
    assert told["request-3"]["nfe"] > 0
    assert told["request-3"]["model"] == "cnf-two-moons"


def test_a_stalled_standard_output_stalls_neither_answers_nor_the_end():
    reader, writer = os.pipe()
    try:
        with serving(LOG_LEVEL="debug", stdout=writer, **MODEL) as server:
            asking = [threading.Thread(target=ask_much, args=(server.url,)) for _ in range(4)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join(120)
                assert not thread.is_alive()
            eventually(lambda: server.metric("log_lines_dropped_total") > 0, 120)
            assert httpx.get(f"{server.url}/health/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
    finally:
        os.close(reader)
        os.close(writer)


def ask_much(url):
    with httpx.Client(base_url=url) as client:
        for _ in range(MOST_LINES // 3):
            assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(("name", "value"), [("LOG_FORMAT", "xml"), ("LOG_LEVEL", "loud")])
def test_a_wrong_setting_ends_the_start_with_its_name(name, value):
    done = subprocess.run(
        [ODESERVE, "serve"], env=environment(**{name: value}), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"ODESERVE_{name}" in done.stderr
