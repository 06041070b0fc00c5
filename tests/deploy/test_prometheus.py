"""What a real Prometheus sees of a real server with the shipped models under load."""

import json
import re
import subprocess
import time

import httpx
import live
import pytest
from live import DEPLOY, ODESERVE, eventually, free_port, running, tool
from mixed_load import mixed_load

REQUESTS = 2000
BOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
NAMES = re.compile(r"(?:[a-z_]+:)?odeserve_\w+(?::\w+)?")
# Everything, and a choice of one model and one decade.
CHOICES = ({"model": ".*", "tol_class": ".*"}, {"model": "cnf-pinwheel|odenet-mnist", "tol_class": "1e-3"})


@pytest.fixture(scope="module")
def service():
    """URL of a server with every shipped model; widths are given, so that it need not measure them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = (ODESERVE, "serve", "--port", str(port))
    with running(command, f"{url}/health/ready", ODESERVE_LANES="8", ODESERVE_LOG_LEVEL="warning", ODESERVE_SHARDS="2"):
        yield url


@pytest.fixture(scope="module")
def prometheus(service, tmp_path_factory):
    with live.prometheus(tmp_path_factory.mktemp("prometheus"), service) as scraped:
        yield scraped


@pytest.fixture(scope="module")
def rest(service, prometheus):
    """The exposition before anything was asked."""
    return httpx.get(f"{service}/metrics").text


@pytest.fixture(scope="module")
def tally(service, prometheus, rest):
    """What clients counted of a mixed load, once Prometheus has seen its end."""
    counted = mixed_load(service, REQUESTS)
    until = time.time()
    eventually(lambda: prometheus.instant(f'timestamp(up{{job="odeserve"}}) > {until + 1}'))
    return counted


def test_at_rest_a_scrape_has_at_most_3000_lines(rest):
    assert len(rest.splitlines()) <= 3000


def test_the_exposition_is_as_promtool_wants_it(service, tally):
    text = httpx.get(f"{service}/metrics").content
    done = subprocess.run(
        (tool("promtool", "prometheus"), "check", "metrics"), input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_requests_and_errors_are_what_the_client_counted(prometheus, tally):
    probes = 'route!~"/health.*|/metrics"'
    found = prometheus.instant(f"sum by (route, status) (odeserve_requests_total{{{probes}}}) > 0")
    assert {(labels["route"], labels["status"]): int(value) for labels, value in found} == dict(tally.requests)
    assert {status for _, status in tally.requests} == {
        *("ok", "partial", "invalid_input", "unknown_model", "not_found", "method_not_allowed"),
        *("unsupported_media_type", "deadline", "solver_failed"),
    }


def test_evaluations_are_what_the_headers_said(prometheus, tally):
    found = prometheus.instant("sum by (model) (odeserve_function_evaluations_useful_total) > 0")
    assert {labels["model"]: int(value) for labels, value in found} == dict(tally.nfe)
    counts = prometheus.instant("sum by (model) (odeserve_request_nfe_count)")
    assert {labels["model"]: int(value) for labels, value in counts} == dict(tally.solved)


def test_no_counter_of_requests_came_into_being_under_load(rest, service, tally):
    def counters(text):
        return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("odeserve_requests_total")}

    assert counters(httpx.get(f"{service}/metrics").text) == counters(rest)


def test_digits_like_those_of_the_calibration_are_not_taken_for_a_drift(prometheus, tally):
    drift = 'model_tol_class:odeserve_request_nfe:{}_rate30m{{model="odenet-mnist"}}'
    mean, least, most = (drift.format(name) for name in ("mean", "calibrated_mean", "calibrated_p99"))
    assert prometheus.instant(mean)
    assert prometheus.instant(f"{mean} < 0.9 * {least} or {mean} > 1.1 * {most}") == []


def expressions():
    for board in BOARDS:
        for panel in json.loads(board.read_text())["panels"]:
            for target in panel.get("targets", ()):
                kind = "instant" if target.get("instant") else "range"
                yield pytest.param(kind, target["expr"], id=f"{board.stem}: {panel['title']} {target['refId']}")


@pytest.mark.parametrize(("kind", "expression"), list(expressions()))
def test_a_panel_has_data(prometheus, tally, kind, expression):
    for choice in CHOICES:
        filled = expression.replace("$__rate_interval", "1m")
        for name, value in choice.items():
            filled = filled.replace(f"${name}", value)
        assert "$" not in filled
        found = prometheus.instant(filled) if kind == "instant" else prometheus.lately(filled)
        values = [value for _, some in found for value in (some if isinstance(some, list) else [some])]
        assert any(value == value for value in values), filled  # not only NaN


def test_every_metric_that_is_asked_for_exists(prometheus, tally):
    asked = {name for _, expression in (param.values for param in expressions()) for name in NAMES.findall(expression)}
    for rules in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
        asked |= set(NAMES.findall(re.sub(r"^ *- (record|alert|name): .*$", "", rules.read_text(), flags=re.M)))
    known = set(prometheus.get("label/__name__/values"))
    assert len(asked) > 20
    assert asked - known == set()


def test_variables_find_their_values(prometheus, tally):
    for board in BOARDS:
        for variable in json.loads(board.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
                found = prometheus.get(f"label/{label}/values", **{"match[]": metric.replace("$model", ".*")})
                assert len(found) >= 5
