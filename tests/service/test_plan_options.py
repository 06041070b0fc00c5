"""`odeserve plan`, whatever its options and whoever answers at --url: it ends, with an answer or with one sentence."""

import json
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import service.capacity.bounds as bounds
from service.cli import app

ROOT = Path(__file__).parents[2]
MANIFEST = json.loads((ROOT / "checkpoints" / "odenet-mnist" / "1" / "manifest.json").read_text())
ASKED = ["--rps", "100", "--mix", "1e-1", "--p99-ms", "50"]
ODD = st.sampled_from(
    ["nan", "inf", "-inf", "0", "-0.0", "-1", "1e308", "1e-308", "1e400", "", " ", "x", "1_0", "٣", "0x10", "9" * 5000]
)
NUMBERS = ODD | st.floats().map(repr) | st.floats(1e-3, 1e5).map(repr)
COUNTS = ODD | st.integers().map(str) | st.integers(0, 300).map(str)
SHARES = st.lists(
    st.tuples(st.sampled_from(["1e-1", "1e-2", "1e-4", "0.05"]) | NUMBERS, NUMBERS).map(":".join), max_size=25
).map(",".join)
URLS = ["", ":", "::", "http://", "http://[", "ftp://127.0.0.1", "http://127.0.0.1:99999", f"http://{'a' * 70}", "\x00"]


@pytest.fixture(autouse=True)
def shipped_models(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def short_runs(monkeypatch):
    """That longer ones end as well is a matter of how long they are."""
    monkeypatch.setattr(bounds, "MOST_TURNS", 300)
    monkeypatch.setattr(bounds, "LEAST_REQUESTS", 3)


def run(*words):
    return CliRunner().invoke(app, ["plan", *words], env={"COLUMNS": "200"})


def said(done):
    return " ".join(done.output.replace("│", " ").split())


@contextmanager
def at_most(seconds):
    def late(*_):
        raise AssertionError(f"it has not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def strictly(text):
    def constant(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=constant)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=st.fixed_dictionaries(
        {"--rps": NUMBERS, "--mix": SHARES | st.text(max_size=20), "--p99-ms": NUMBERS},
        optional={
            "--items": COUNTS,
            "--shards": COUNTS,
            "--spare": COUNTS,
            "--ms-per-request": NUMBERS,
            "--seed": COUNTS,
            "--program": st.sampled_from(["classify", "sample", ""]) | st.text(max_size=5),
        },
    ),
    evaluation=NUMBERS,
    model=st.sampled_from([None, "odenet-mnist", "odenet-mnist@1", "odenet-mnist@x", "@", "", "cnf-two-moons"]),
)
@example({"--rps": "inf", "--mix": "1e-1", "--p99-ms": "50"}, "0.05", None)
@example({"--rps": "nan", "--mix": "1e-1", "--p99-ms": "50"}, "0.05", None)
@example({"--rps": "10", "--mix": "1e-1", "--p99-ms": "inf"}, "0.05", None)
@example({"--rps": "10", "--mix": "1e-1:1e308,1e-2:1e308", "--p99-ms": "50"}, "0.05", None)
@example({"--rps": "10", "--mix": "1e-1:1e-320", "--p99-ms": "50"}, "0.05", None)
@example({"--rps": "10", "--mix": "1e-1", "--p99-ms": "50", "--ms-per-request": "inf"}, "0.05", None)
@example({"--rps": "10", "--mix": "1e-1", "--p99-ms": "60000"}, "inf", None)
@example({"--rps": "10", "--mix": "1e-1", "--p99-ms": "60000"}, "3000", None)
@example({"--rps": "10", "--mix": "1e-1", "--p99-ms": "60000", "--items": "256"}, "0.05", None)
@example({"--rps": "1e9", "--mix": "1e-6", "--p99-ms": "60000", "--shards": "64"}, "1e-6", None)
@pytest.mark.usefixtures("short_runs")
def test_whatever_is_asked_it_ends_without_a_traceback(options, evaluation, model):
    given_ = [f"{name}={value}" for name, value in options.items()]
    with at_most(60):
        done = run(*([] if model is None else [model]), *given_, f"--ms-per-evaluation={evaluation}", "--json")
    assert done.exit_code in (0, 1, 2), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if done.exit_code == 0:
        strictly(done.stdout)
    else:
        assert "Traceback" not in done.output
        assert done.output.strip()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rps", "inf"),
        ("--rps", "nan"),
        ("--p99-ms", "inf"),
        ("--p99-ms", "nan"),
        ("--ms-per-evaluation", "inf"),
        ("--ms-per-evaluation", "nan"),
        ("--ms-per-request", "inf"),
        ("--ms-per-request", "nan"),
        ("--items", "20001"),
        ("--spare", "10001"),
        ("--mix", "1e-1:1e308,1e-2:1e308"),
        ("--mix", ",".join(f"{k / 100}:1" for k in range(1, 10)) * 3),
    ],
)
def test_a_number_that_is_none_or_too_large_names_its_option(option, value):
    done = run(*ASKED, "--ms-per-evaluation", "0.05", option, value)
    assert done.exit_code == 2
    assert option in said(done)


@pytest.mark.parametrize("url", URLS)
def test_an_address_that_is_none_is_said(url):
    done = run(*ASKED, f"--url={url}")
    assert done.exit_code in (2, 3)
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)


def test_where_nobody_answers_it_offers_what_this_command_has():
    for command in (["plan", *ASKED], ["models"]):
        done = CliRunner().invoke(app, [*command, "--url", "http://127.0.0.1:1"])
        assert done.exit_code == 3
        assert "leave --url away" in done.output
        assert "--local" not in done.output
        assert "ODECLIENT_URL" not in done.output


@contextmanager
def answering(metrics, status=200, described=MANIFEST):
    """A server that knows one model and says something as its metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/metrics":
                return self.say(status, "text/plain", metrics.encode())
            listed = {"models": [{"name": "odenet-mnist", "default": True, "task": "classify"}]}
            body = listed if self.path == "/models" else described
            return self.say(200, "application/json", json.dumps(body).encode())

        def say(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


OF_ONE = json.dumps({"error": {"code": "not_found", "message": "of one replica: ask it by its own address"}})


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("body", [OF_ONE, "<h1>404</h1>"])
def test_a_proxy_without_metrics_is_told_from_a_server(body):
    with answering(body, status=404) as url:
        done = run(*ASKED, "--url", url)
        # What an evaluation takes may be said instead.
        given_ = run(*ASKED, "--url", url, "--ms-per-evaluation", "0.05", "--json")
    assert done.exit_code == 1
    assert f"--url {url} has no /metrics" in said(done)
    assert "expected the address of one server, not of a proxy" in said(done)
    assert given_.exit_code == 0, given_.output


SAMPLES = """odeserve_engine_step_duration_seconds_sum{{model="odenet-mnist"}} {}
odeserve_function_evaluations_total{{model="odenet-mnist"}} {}
"""


@pytest.mark.parametrize("values", [("x", "20000"), ("nan", "20000"), ("1", "inf"), ("-1", "20000")])
def test_metrics_that_are_no_numbers_are_said(values):
    with answering(SAMPLES.format(*values)) as url:
        done = run(*ASKED, "--url", url)
    assert done.exit_code == 1
    assert "--url: its /metrics does not read" in said(done)


@pytest.mark.parametrize("described", [{}, {"name": "a"}, {"name": "a", "programs": {"classify": {}}}, [1]])
def test_a_server_that_describes_models_otherwise_is_said(described):
    with answering(SAMPLES.format(1, 20000), described=described) as url:
        done = run(*ASKED, "--url", url)
    assert done.exit_code == 1
    assert "--url: the server does not describe its models" in said(done)


def test_a_model_that_was_never_calibrated_is_refused():
    programs = {name: program | {"calibration": None} for name, program in MANIFEST["programs"].items()}
    with answering("", described=MANIFEST | {"programs": programs}) as url:
        done = run(*ASKED, "--url", url, "--ms-per-evaluation", "0.05")
    assert done.exit_code == 1
    assert "odenet-mnist has no calibration table" in said(done)
    assert "odetrain calibrate" in said(done)


@pytest.mark.usefixtures("short_runs")
def test_a_tolerance_looser_than_the_table_is_said_to_count_as_its_loosest_row():
    (name, program), *_ = MANIFEST["programs"].items()
    rows = [row for row in program["calibration"]["rows"] if row["method"] != "dopri5" or row["tol"] <= 1e-3]
    program = program | {"calibration": program["calibration"] | {"rows": rows}}
    with answering("", described=MANIFEST | {"programs": {name: program}}) as url:
        done = run(*ASKED, "--url", url, "--ms-per-evaluation", "0.01", "--p99-ms", "500")
    assert done.exit_code == 0, done.output
    assert "Tolerance 0.1 is looser than all that was measured of dopri5: counted as 0.001." in said(done)
