"""The capacity model: its parts against what can be worked out by hand, its whole against recorded runs."""

import json
import math
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import serving
from artifacts import CLOUD
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from node_model.manifest import read_manifest
from service.capacity.assumed import assumed_timings
from service.capacity.event_loop import waits
from service.capacity.mix import Mix, MixError, read_mix
from service.capacity.plan import make_plan
from service.capacity.replica import BESIDE_SECONDS, CROWDING, INTERPRETER_SECONDS, Replica, UnreachableError
from service.capacity.source import measured_beside
from service.cli import app
from service.engine.speed import TURN_SECONDS
from service.simulation.program import Timings
from service.simulation.run import Traffic, simulate
from service.simulation.stepper import Clock

ROOT = Path(__file__).parents[2]
SPEC = read_manifest(ROOT / "checkpoints" / "odenet-mnist" / "1").programs["classify"]
RECORDED = json.loads((ROOT / "docs" / "benchmarks" / "scaling.json").read_text())
ASKED = ["--rps", "1000", "--mix", "1e-1:0.5,1e-2:0.4,1e-4:0.1", "--p99-ms", "50"]


def timings(recorded):
    steps = {method: {int(n): s for n, s in seconds.items()} for method, seconds in recorded["steps"].items()}
    return Timings(recorded["start"], steps, recorded["lanes"])


def replica(shards=2, requests=1500, evaluation=5e-5, **options):
    options = {"beside": 3.5e-4, "crowding": 0.05} | options
    mix = read_mix("1e-1:0.5,1e-2:0.4,1e-4:0.1")
    return Replica("odenet-mnist", SPEC, assumed_timings(SPEC, evaluation), mix, shards, requests=requests, **options)


def run(*words):
    return CliRunner().invoke(app, ["plan", *words], env={"COLUMNS": "100"})


@given(st.dictionaries(st.sampled_from(["1e-1", "3e-2", "0.01", "1e-4"]), st.floats(1e-3, 1e3), min_size=1))
def test_shares_are_weights_that_sum_to_one(weights):
    mix = read_mix(", ".join(f"{tol}:{weight}" for tol, weight in weights.items()))
    assert mix.tols == tuple(map(float, weights))
    assert math.fsum(mix.shares) == pytest.approx(1)
    total = math.fsum(weights.values())
    assert mix.shares == pytest.approx([weight / total for weight in weights.values()])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected TOL:SHARE"),
        ("1e-2:a", "'1e-2:a': expected TOL:SHARE"),
        ("1e-2:0.5,,1e-1:0.5", "'': expected TOL:SHARE"),
        ("-1:1", "a tolerance above 0"),
        ("nan:1", "a tolerance above 0"),
        ("1e-2:0", "a share above 0"),
        ("1e-2:inf", "a share above 0"),
        ("1e-2:1,0.01:1", "twice"),
    ],
)
def test_a_mix_that_is_wrong_says_which_part(text, said):
    with pytest.raises(MixError, match=said):
        read_mix(text)


@pytest.mark.parametrize("evaluation", [2e-6, 5e-5, 1e-3])
def test_assumed_steps_of_full_width_cost_what_was_said(evaluation):
    found = assumed_timings(SPEC, evaluation)
    for method, spec in SPEC.methods.items():
        whole = found.evaluation(method, spec.nfe_attempt)
        # Below, what a turn itself takes is more than all of it.
        assert whole == pytest.approx(evaluation) or found.lanes[method] * spec.nfe_attempt * evaluation < TURN_SECONDS
        assert found.steps[method][1] <= found.steps[method][found.lanes[method]]


def test_a_server_of_one_lane_waits_as_queueing_theory_says():
    """One lane, work that is always the same, random arrivals: M/D/1. Source: Pollaczek & Khinchine."""
    one_lane = Timings(
        1e-9, {method: {1: 2e-3 - TURN_SECONDS} for method in SPEC.methods}, dict.fromkeys(SPEC.methods, 1)
    )
    single = Replica("odenet-mnist", SPEC, one_lane, Mix((1e-1,), (1.0,)), 1, beside=0.0)
    service = single.work
    assert service == pytest.approx(2e-3, rel=0.2)
    for load in (0.5, 0.8):
        clock = Clock()
        ends = simulate(
            single.program(clock),
            clock,
            rate=load / 2e-3,
            requests=8_000,
            shards=1,
            traffic=Traffic((1e-1,), (1.0,), (1,), (1.0,), deadline_share=0.0, max_tol_share=0.0),
            seed=1,
        ).arrays()
        waited = float(np.mean(ends["taken"])) - 2e-3
        assert waited == pytest.approx(load * 2e-3 / (2 * (1 - load)), rel=0.15)
        assert clock.spent / clock.now == pytest.approx(load, rel=0.03)


def test_below_what_it_can_do_a_replica_answers_all_and_above_no_more():
    one = replica()
    able = one.shards / one.work
    calm = one.at(0.6 * able)
    assert calm.answered == pytest.approx(0.6 * able, rel=0.05)
    assert calm.refused == 0
    assert one.saturated() == pytest.approx(able, rel=0.1)


def test_twice_the_shards_do_twice_the_work_and_are_no_later():
    one, two = replica(shards=1), replica(shards=2, crowding=0.0)
    assert replica(shards=3, crowding=0.1).work == pytest.approx(1.2 * one.work)
    assert two.saturated() == pytest.approx(2 * one.saturated(), rel=0.1)
    rate = 0.7 / one.work
    assert two.at(2 * rate).p99_ms < one.at(rate).p99_ms


def test_an_event_loop_that_reads_no_faster_bounds_what_many_shards_can_do():
    one = replica(shards=16, evaluation=2e-6, beside=1e-3, crowding=0.0)
    assert one.shards / one.work > 2000
    assert one.able == one.read == pytest.approx(1000)
    assert one.saturated() <= 1000
    assert one.most(50).rate <= 900


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=30),
    st.floats(0, 0.2),
)
def test_requests_wait_for_the_event_loop_in_their_order(pairs, seconds):
    begun = np.array([at for at, _ in pairs])
    ended = begun + np.array([taken for _, taken in pairs])
    free, expected = 0.0, np.zeros(len(pairs))
    jobs = sorted([(at, 0, k) for k, at in enumerate(begun)] + [(at, 1, k) for k, at in enumerate(ended)])
    for at, _, k in jobs:
        start = max(at, free)
        expected[k] += start - at
        free = start + seconds
    # Of jobs at the very same time either may be first; together they wait as long.
    assert waits(begun, ended, seconds).sum() == pytest.approx(expected.sum(), abs=1e-9)


def test_an_event_loop_near_its_limit_is_waited_for():
    one = replica(shards=16, evaluation=2e-6, beside=1e-3, crowding=0.0, requests=4000)
    calm, near = one.at(200), one.at(900)
    # M/D/1, where a request that comes meets others and those that leave: at 0.9 the mean wait alone is 4.5 services.
    assert near.p99_ms > 8 > 4 * calm.p50_ms
    assert make_plan(one, 1e4, 50, 0).bound_by_event_loop


@pytest.mark.parametrize("shards", ["1", "2", "4"])
def test_what_an_evaluation_takes_is_said_as_it_was_given(shards):
    words = (*ASKED, "--ms-per-evaluation", "0.04", "--ms-per-request", "0.3", "--shards", shards, "--json")
    document = json.loads(run(*words).output)
    assert document["ms_per_evaluation"] == pytest.approx(0.04, rel=0.01)
    assert document["ms_per_request"] == pytest.approx(0.3)


def test_the_highest_rate_keeps_the_target_and_a_higher_one_does_not():
    one = replica()
    able = one.shards / one.work
    target = one.at(0.6 * able).p99_ms
    most = one.most(target)
    assert most.p99_ms <= target
    assert 0.5 * able < most.rate < 0.75 * able
    assert one.most(1e6).rate == pytest.approx(0.9 * able)
    with pytest.raises(UnreachableError, match="expected --p99-ms above that"):
        one.most(0.1)


def test_a_million_requests_a_second_are_as_many_replicas_as_that_takes():
    one = replica()
    small, large = make_plan(one, 1e3, 50, 1), make_plan(one, 1e6, 50, 1)
    assert large.at_most == small.at_most
    assert large.replicas - 1 == math.ceil(1e6 / large.at_most.rate)
    assert large.cores == 2 * large.replicas
    assert large.each.p99_ms <= 50
    # However late requests may be; its threads are busy for longer than that.
    at_most = make_plan(one, 1e3, 1e6, 1)
    assert at_most.at_most.rate / at_most.able == pytest.approx(0.9)
    assert at_most.at_most.busy > 0.95
    # What is spare is to spare.
    assert (large.replicas - 1) * large.at_most.rate >= 1e6


def test_what_a_request_costs_is_what_its_table_says():
    one = replica(beside=4e-4, crowding=0.0)
    (loose, _, tight) = make_plan(one, 10, 50, 0).costs
    assert (loose.nfe_mean, tight.nfe_mean) == (7, 19)
    evaluation = one.timings.evaluation("dopri5", 6)
    assert tight.ms == pytest.approx(1e3 * (one.timings.start + 18 * evaluation + 4e-4))
    many = replace(one, items=10)
    assert many.work == pytest.approx(10 * (one.work - 4e-4) + 4e-4)


@pytest.mark.parametrize("shards", ["1", "2"])
def test_recorded_runs_are_within_a_fifth_of_what_the_model_says(shards):
    """For what others left of the cores; medians of the rounds."""
    off = []
    for turn in RECORDED["rounds"]:
        one, alone = turn["shards"][shards], shards == "1"
        beside = one["pace"] * turn["beside"] + (0.0 if alone else one["client"])
        options = {"beside": beside, "crowding": turn["crowding"], "requests": 2000}
        found = timings(turn["timings"]).stretched(one["pace"])
        said = Replica("odenet-mnist", SPEC, found, read_mix(RECORDED["mix"]), int(shards), **options).saturated()
        off.append(said * one["left"] / int(shards) / one["measured_per_second"])
    assert len(off) >= 3
    assert float(np.median(off)) == pytest.approx(1, abs=0.2)


def test_what_a_plan_takes_for_granted_is_what_was_recorded():
    assert pytest.approx(RECORDED["beside"], rel=0.1) == BESIDE_SECONDS
    assert pytest.approx(RECORDED["crowding"], abs=0.01) == CROWDING
    assert pytest.approx(RECORDED["interpreter"], rel=0.05) == INTERPRETER_SECONDS
    for name in ("beside", "crowding", "interpreter"):
        assert RECORDED[name] == pytest.approx(np.median([turn[name] for turn in RECORDED["rounds"]]))


def test_where_python_is_slower_a_request_takes_so_much_longer_beside_the_engine(monkeypatch):
    assert 0.02 < measured_beside() / BESIDE_SECONDS < 50
    monkeypatch.setattr("service.capacity.source.interpreter_seconds", lambda: 3 * INTERPRETER_SECONDS)
    assert measured_beside() == pytest.approx(3 * BESIDE_SECONDS)
    document = json.loads(run(*ASKED, "--ms-per-evaluation", "0.05", "--json").output)
    assert document["ms_per_request"] == pytest.approx(3e3 * BESIDE_SECONDS)
    assert document["ms_per_evaluation"] == pytest.approx(0.05, rel=0.01)


def test_a_plan_for_people_and_one_for_programs_say_the_same():
    table = run(*ASKED, "--ms-per-evaluation", "0.05", "--ms-per-request", "0.5")
    assert table.exit_code == 0, table.output
    document = json.loads(run(*ASKED, "--ms-per-evaluation", "0.05", "--ms-per-request", "0.5", "--json").output)
    assert f"{document['cores']} cores, {document['replicas']} replicas of 1, 1 of them to spare" in " ".join(
        table.output.split()
    )
    assert (document["model"], document["program"], document["evaluation"]) == ("odenet-mnist", "classify", "given")
    assert [cost["share"] for cost in document["costs"]] == [0.5, 0.4, 0.1]
    assert document["each"]["p99_ms"] <= document["at_most"]["p99_ms"] <= 50
    assert all(line in " ".join(table.output.split()) for line in ("Assumed:", *document["assumptions"]))


def test_without_a_number_this_machine_is_measured(monkeypatch):
    monkeypatch.chdir(ROOT)
    done = run(
        "cnf-two-moons",
        "--program",
        "sample",
        "--items",
        "4",
        "--rps",
        "5",
        "--mix",
        "1e-2",
        "--p99-ms",
        "5000",
        "--json",
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert (document["program"], document["items"], document["evaluation"]) == (
        "sample",
        4,
        "measured on this machine",
    )
    assert document["ms_per_evaluation"] > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--rps", "10", "--mix", "1e-2:x", "--p99-ms", "50"], 2, "expected TOL:SHARE"),
        (["--rps", "10", "--mix", "5", "--p99-ms", "50"], 2, "expected 1e-06 to 0.1, the model's limits"),
        (["--rps", "10", "--mix", "1e-2", "--p99-ms", "0.5"], 1, "a request alone on an idle replica"),
        (["nobody", "--rps", "10", "--mix", "1e-2", "--p99-ms", "50"], 1, "no model 'nobody'; known are"),
        (["--program", "sample", "--rps", "10", "--mix", "1e-2", "--p99-ms", "50"], 1, "it has classify"),
        (["--rps", "0", "--mix", "1e-2", "--p99-ms", "50"], 2, "--rps"),
        (["--rps", "10", "--p99-ms", "50"], 2, "--mix"),
        (["--url", "http://127.0.0.1:1", "--rps", "10", "--mix", "1e-2", "--p99-ms", "50"], 3, "nobody answers"),
    ],
)
def test_what_cannot_be_planned_is_said(words, code, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = run(*words, "--ms-per-evaluation", "0.05")
    assert done.exit_code == code
    assert said in " ".join(done.output.replace("│", " ").split())


def test_a_server_that_has_worked_tells_what_an_evaluation_takes(models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4) as server:
        asked = [CLOUD, "--url", server.url, "--rps", "100", "--mix", "1e-3", "--p99-ms", "1000", "--json"]
        idle = run(*asked)
        assert idle.exit_code == 1
        assert "too few to tell" in idle.output
        points = {"points": [[0.01 * k, 1.0, 0.0] for k in range(1000)]}
        httpx.post(f"{server.url}/density?model={CLOUD}&tol=1e-4", json=points, timeout=60).raise_for_status()
        seconds = server.metric("engine_step_duration_seconds_sum", model=CLOUD)
        evaluations = server.metric("function_evaluations_total", model=CLOUD)
        busy = run(*asked)
    assert busy.exit_code == 0, busy.output
    document = json.loads(busy.output)
    assert (document["model"], document["evaluation"]) == (CLOUD, "measured by the server")
    assert evaluations >= 10_000
    assert document["ms_per_evaluation"] == pytest.approx(1e3 * seconds / evaluations, rel=0.5)
