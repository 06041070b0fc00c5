"""What a plan says before it simulates anything: not calibrated, not to be had, too large to try."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_model.manifest import read_manifest
from service.capacity.assumed import assumed_timings
from service.capacity.bounds import (
    LEAST_REQUESTS,
    MOST_TURNS,
    TooLargeError,
    UncalibratedError,
    check_reachable,
    simulated_requests,
)
from service.capacity.mix import Mix, read_mix
from service.capacity.plan import make_plan
from service.capacity.replica import Figures, Replica, UnreachableError
from service.simulation.stepper import Clock, SimulatedStepper

ROOT = Path(__file__).parents[2]
SPEC = read_manifest(ROOT / "checkpoints" / "odenet-mnist" / "1").programs["classify"]
MIX = read_mix("1e-1:0.5,1e-2:0.4,1e-4:0.1")


def replica(spec=SPEC, evaluation=5e-5, mix=MIX, shards=2, **options):
    return Replica("odenet-mnist", spec, assumed_timings(spec, evaluation), mix, shards, **options)


def with_rows(keep):
    """The spec with some of its calibration's rows, and limits that any tolerance keeps."""
    rows = tuple(row for row in SPEC.calibration.rows if keep(row))
    return SPEC.model_copy(update={"calibration": SPEC.calibration.model_copy(update={"rows": rows})})


def nothing_is_simulated(monkeypatch):
    def at(*_):
        raise AssertionError("it was simulated")

    monkeypatch.setattr(Replica, "at", at)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC.model_copy(update={"calibration": None}),
        with_rows(lambda row: False),
        SPEC.model_copy(
            update={
                "calibration": SPEC.calibration.model_copy(
                    update={"rows": tuple(row.model_copy(update={"skipped": "slow"}) for row in SPEC.calibration.rows)}
                )
            }
        ),
    ],
)
def test_without_a_calibration_nothing_is_planned(spec, monkeypatch):
    nothing_is_simulated(monkeypatch)
    with pytest.raises(UncalibratedError, match=r"odenet-mnist has no calibration table.*odetrain calibrate"):
        make_plan(replica(spec), 10, 50, 1)


def test_a_tolerance_tighter_than_the_table_is_refused(monkeypatch):
    nothing_is_simulated(monkeypatch)
    short = with_rows(lambda row: row.tol >= 1e-3)
    with pytest.raises(UncalibratedError, match=r"tolerance 0.0001: .* from 0.001 to 0.1 for .*odetrain calibrate"):
        make_plan(replica(short), 10, 50, 1)


def test_a_tolerance_looser_than_the_table_says_as_what_it_counts():
    short = with_rows(lambda row: row.tol <= 1e-2)
    loose, exact, _ = make_plan(replica(short, requests=300), 10, 500, 1).costs
    assert (loose.tol, loose.counted_as) == (1e-1, 1e-2)
    assert (exact.tol, exact.counted_as) == (1e-2, 1e-2)
    assert loose.nfe_mean == next(
        row.nfe_mean for row in SPEC.calibration.rows if (row.method, row.tol) == (loose.method, 1e-2)
    )


def test_a_target_that_a_request_alone_misses_is_said_without_simulating(monkeypatch):
    nothing_is_simulated(monkeypatch)
    # 19 evaluations of 50 us, 256 times, on two shards.
    with pytest.raises(UnreachableError, match=r"at least 1\d\d\.?\d* ms at tolerance 0.0001: expected --p99-ms above"):
        make_plan(replica(items=256), 100, 100, 1)
    with pytest.raises(UnreachableError, match="a request alone"):
        make_plan(replica(evaluation=10.0), 100, 50, 1)


def test_what_one_of_a_hundred_requests_may_miss_does_not_count():
    rare = Mix((1e-1, 1e-4), (0.995, 0.005))
    one = replica(mix=rare)
    check_reachable(one.program(Clock()), rare, 1, 2, 0.0, 6e-4)
    with pytest.raises(UnreachableError):
        check_reachable(one.program(Clock()), MIX, 1, 2, 0.0, 6e-4)


@pytest.mark.parametrize("items", [1, 7, 64])
def test_a_request_alone_is_in_simulation_no_sooner_than_is_said(items):
    """Otherwise a plan would be refused that there is."""
    one = replica(items=items, requests=200)
    found = one.at(0.01 * one.shards / one.work)
    check_reachable(one.program(Clock()), MIX, items, 2, one.stretch * one.beside, found.p99_ms / 1e3)


@given(
    items=st.integers(1, 20_000),
    evaluation=st.floats(1e-9, 10),
    tol=st.sampled_from([1e-1, 1e-2, 1e-4, 1e-6]),
    shards=st.integers(1, 64),
)
def test_a_run_has_as_many_requests_as_can_be_simulated_or_is_refused(items, evaluation, tol, shards):
    one = replica(evaluation=evaluation, mix=Mix((tol,), (1.0,)), shards=shards, items=items)
    program = one.program(Clock())
    try:
        found = simulated_requests(program, one.mix, items, 4000)
    except TooLargeError:
        return
    method = program.cost.cheapest_method(tol, tol)
    assert LEAST_REQUESTS <= found <= 4000
    assert found * items * program.nfe(method, tol) / SPEC.methods[method].nfe_attempt <= 2.5 * MOST_TURNS * max(
        program.lanes[method], 1
    )


@pytest.mark.parametrize(("items", "load"), [(1, 0.02), (64, 0.02), (64, 0.9), (500, 0.9)])
def test_the_steps_of_a_run_are_about_as_many_as_was_reckoned(items, load, monkeypatch):
    one = replica(items=items)
    requests = simulated_requests(one.program(Clock()), MIX, items, 400)
    steps, real = 0, SimulatedStepper.step

    def step(self, *words):
        nonlocal steps
        steps += 1
        return real(self, *words)

    monkeypatch.setattr(SimulatedStepper, "step", step)
    one = replace(one, requests=requests)
    one.at(load * one.shards / one.work)
    assert steps < 1.5 * MOST_TURNS


def test_a_request_too_large_to_simulate_says_how_large_is_possible(monkeypatch):
    nothing_is_simulated(monkeypatch)
    with pytest.raises(TooLargeError, match=r"--items up to about \d+"):
        make_plan(replica(items=20_000), 100, 60_000, 1)


def test_a_replica_that_refuses_even_when_idle_is_said(monkeypatch):
    one = replica()
    monkeypatch.setattr(Replica, "at", lambda self, rate: Figures(rate, 1.0, 1.0, 0.1, rate, 3))
    with pytest.raises(UnreachableError, match="are refused when next to nothing is asked"):
        one.most(50)
