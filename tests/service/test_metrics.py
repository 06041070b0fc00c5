"""Metrics: the names that others rely on, what they count, and what they compare it with."""

import asyncio
import itertools
import math
import threading
from pathlib import Path

import httpx
import pytest
from apps import running_app
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import NFE, SECONDS, tolerance_class
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DIGIT = [[0.0] * 28] * 28
CONTRACT = {
    "requests_total": {"route", "model", "status"},
    "request_duration_seconds": {"route", "model", "tol_class"},
    "request_nfe": {"model", "tol_class"},
    "queue_duration_seconds": {"model"},
    "solve_duration_seconds": {"model"},
    "solver_steps_total": {"model", "method", "outcome"},
    "function_evaluations_total": {"model", "method"},
    "function_evaluations_useful_total": {"model", "method"},
    "lanes_active": {"model", "shard"},
    "lanes_capacity": {"model", "shard"},
    "queue_depth": set(),
    "queued_work_seconds": set(),
    "engine_step_duration_seconds": {"model"},
    "engine_heartbeat_timestamp_seconds": {"shard"},
    "tolerance_loosened_total": {"model"},
    "model_info": {"model", "version", "task"},
    "build_info": {"version", "commit", "backend"},
}
FURTHER = {
    "request_nfe_calibrated_total": {"model", "tol_class", "statistic"},
    "queued_work_limit_seconds": set(),
    "calibrated_nfe": {"model", "program", "tol_class", "statistic"},
    "calibrated_error_p99": {"model", "program", "tol_class", "unit"},
    "calibrated_metric": {"model", "program", "tol_class", "metric"},
    "calibrated_agreement": {"model", "program", "tol_class"},
    "log_lines_dropped_total": set(),
}


@pytest.fixture(scope="module")
def shipped():
    """A client of a server with two shipped models."""
    settings = Settings(models_dir=ROOT / "checkpoints", models=("cnf-pinwheel", "odenet-mnist"), lanes=4, shards=1)
    with running_app(settings) as client:
        yield client


def found(client):
    """Families of the exposition, by name without the prefix, with the labels that their samples have."""
    families = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        name = family.name.removeprefix("odeserve_") + ("_total" if family.type == "counter" else "")
        families[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    return families


def value(client, name, **labels):
    return client.app.state.context.metrics.value(f"odeserve_{name}", labels) or 0.0


def test_there_are_the_metrics_of_the_contract_and_the_further_ones(shipped):
    assert shipped.post("/classify", json={"image": DIGIT}).status_code == 200
    assert found(shipped) == CONTRACT | FURTHER


def test_buckets_are_those_of_the_contract():
    assert [1e-4 * 2**k for k in range(18)] == SECONDS
    assert NFE[0] == 4
    assert NFE[-1] == 4096
    assert all(bound == round(bound) for bound in NFE)
    assert all(1.2 < b / a < 1.6 for a, b in itertools.pairwise(NFE))


@given(st.floats(1e-12, 1.0))
def test_a_tolerance_is_in_the_decade_below_it(tol):
    named = float(tolerance_class(tol))
    assert named <= tol * (1 + 1e-8)
    assert tol < 10 * named


@pytest.mark.parametrize("power", range(-12, 1))
def test_a_power_of_ten_is_its_own_class(power):
    assert tolerance_class(float(f"1e{power}")) == f"1e{power}"


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/classify?tol=1e-3", {"images": [DIGIT] * 3}, "odenet-mnist"),
        ("/classify?tol=1e-3&method=bosh3", {"image": DIGIT}, "odenet-mnist"),
        ("/density?tol=1e-3&model=cnf-pinwheel", {"points": [[0.1, 0.2], [1.0, -1.0]]}, "cnf-pinwheel"),
        ("/density?tol=4e-3&model=cnf-pinwheel&method=dopri5", {"point": [0.1, 0.2]}, "cnf-pinwheel"),
        ("/sample?tol=1e-3&model=cnf-pinwheel", {"n": 4, "seed": 1}, "cnf-pinwheel"),
    ],
)
def test_each_request_is_compared_with_its_own_row_of_the_table(shipped, path, body, model):
    def counted(name, **labels):
        return value(shipped, name, model=model, tol_class="1e-3", **labels)

    def all_of_them():
        calibrated = [counted("request_nfe_calibrated_total", statistic=name) for name in ("mean", "p99")]
        return (*calibrated, counted("request_nfe_sum"), counted("request_nfe_count"))

    before = all_of_them()
    answer = shipped.post(path, json=body)
    assert answer.status_code == 200, answer.text
    mean, p99, nfe, count = (b - a for a, b in zip(before, all_of_them(), strict=True))
    solver = answer.json()["predictions"][0]["solver"]
    found = shipped.app.state.context.models.find(model)
    program = {"/classify": "classify", "/density": "log_density", "/sample": "sample"}[path.partition("?")[0]]
    cost = found.programs[program].cost
    assert mean == pytest.approx(cost.nfe_mean(solver["method"], solver["rtol"]))
    assert p99 == pytest.approx(cost.nfe_p99(solver["method"], solver["rtol"]))
    items = len(answer.json()["predictions"])
    assert (nfe, count) == (pytest.approx(int(answer.headers["X-NFE"]) / items), 1)


def test_every_try_of_auto_is_expected(shipped):
    """A blank picture is unlike any digit: nothing but the tightest tolerance settles it, if that does."""
    answer = shipped.post("/classify?tol=auto", json={"image": [[0.4] * 28] * 28})
    solver = answer.json()["predictions"][0]["solver"]
    cost = shipped.app.state.context.models.find("odenet-mnist").programs["classify"].cost
    record_before = value(
        shipped, "request_nfe_calibrated_total", model="odenet-mnist", tol_class=answered(answer), statistic="mean"
    )
    again = shipped.post("/classify?tol=auto", json={"image": [[0.4] * 28] * 28})
    record_after = value(
        shipped, "request_nfe_calibrated_total", model="odenet-mnist", tol_class=answered(again), statistic="mean"
    )
    tries = solver["attempts"]
    expected = sum(cost.nfe_mean(attempt["method"], attempt["tol"]) for attempt in tries)
    assert record_after - record_before == pytest.approx(expected)


def answered(answer):
    return tolerance_class(float(answer.headers["X-Tol"]))


def test_rows_that_were_cut_short_are_expected_to_take_anything_up_to_the_p99(shipped):
    def counted(statistic):
        labels = {"model": "cnf-pinwheel", "tol_class": "1e-5", "statistic": statistic}
        return value(shipped, "request_nfe_calibrated_total", **labels)

    before = counted("mean"), counted("p99")
    for partial in ("true", "false"):
        shipped.post(f"/density?model=cnf-pinwheel&tol=1e-5&max_nfe=10&partial={partial}", json={"point": [0.1, 0.2]})
    assert counted("mean") == before[0]
    assert counted("p99") > before[1]


def test_the_text_is_made_off_the_event_loop(shipped, monkeypatch):
    context, made_by = shipped.app.state.context, []
    real = context.metrics.text
    monkeypatch.setattr(
        context.metrics, "text", lambda state: made_by.append(threading.current_thread()) or real(state)
    )

    async def scrape():
        transport = httpx.ASGITransport(shipped.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/metrics")).status_code == 200
        return threading.current_thread()

    loop_thread = asyncio.run(scrape())
    assert made_by
    assert loop_thread not in made_by


def test_calibration_is_told_for_each_decade_by_the_method_that_auto_takes(shipped):
    program = shipped.app.state.context.models.find("odenet-mnist").programs["classify"]
    for row in program.spec.calibration.rows:
        if row.method == program.cost.cheapest_method(row.tol, row.tol) and math.log10(row.tol) == round(
            math.log10(row.tol)
        ):
            at = {"model": "odenet-mnist", "program": "classify", "tol_class": tolerance_class(row.tol)}
            assert value(shipped, "calibrated_nfe", statistic="mean", **at) == row.nfe_mean
            assert value(shipped, "calibrated_error_p99", unit="logit", **at) == row.error_p99
            assert value(shipped, "calibrated_metric", metric="accuracy", **at) == row.metric
            assert value(shipped, "calibrated_agreement", **at) == row.agreement
