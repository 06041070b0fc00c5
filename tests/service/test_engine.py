"""Continuous batching, on a program that counts down and a clock that is told the time."""

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from countdown import ATTEMPT_SECONDS, EVALUATIONS, Clock, Countdown, problem, program, request
from hypothesis import given
from hypothesis import strategies as st

from node_model.status import Status
from service.engine.admission import Waiting
from service.engine.engine import Engine, solve_alone
from service.engine.request import End
from service.engine.stepper import Rows, Terms


class Shard:
    """An engine with its queue and clock."""

    def __init__(self, lanes=4, shards=1, **stepper):
        self.clock = Clock()
        self.stepper = Countdown(self.clock, **stepper)
        self.program = program(self.stepper, lanes)
        self.waiting = Waiting(shards, math.inf)
        self.engine = Engine(self.waiting, nullcontext(), clock=self.clock)
        self.reports = []
        self.ended = []

    def ask(self, attempts, names=None, *, deadline=math.inf, by=None, **options):
        made = request(
            problem(by or self.program, attempts, names, **options), self.clock.now, deadline, ended=self._on_end
        )
        self.waiting.offer(made)
        return made

    def _on_end(self, request):
        self.waiting.drop(request)
        self.ended.append(request)

    def run(self, steps=10**6):
        for _ in range(steps):
            report = self.engine.step()
            if report is None:
                return
            self.reports.append(report)

    def total(self, name):
        return sum(getattr(report.tally, name) for report in self.reports)


def test_a_request_is_solved_row_by_row():
    shard = Shard(lanes=2)
    asked = shard.ask([3, 1, 0, 5, 2], [10, 11, 12, 13, 14])
    shard.run()
    assert asked.end is End.COMPLETED
    (answers,) = asked.outputs
    assert answers.tolist() == [10, 11, 12, 13, 14]
    assert asked.solution.status.tolist() == [Status.OK] * 5
    assert asked.solution.nfe.tolist() == [1 + EVALUATIONS * n for n in (3, 1, 0, 5, 2)]
    assert asked.solution.accepted.tolist() == [3, 1, 0, 5, 2]
    assert not asked.solution.rejected.any()
    assert asked.solution.error_estimate == pytest.approx(1e-3 * np.array([3, 1, 0, 5, 2]))
    assert shard.ended == [asked]


def test_requests_share_steps_join_between_them_and_leave_when_done():
    shard = Shard(lanes=4)
    long = shard.ask([10])
    shard.run(3)
    short = shard.ask([2, 2])
    shard.run(2)
    assert short.end is End.COMPLETED
    assert long.end is None
    shard.run()
    assert shard.stepper.widths == [1, 1, 1, 3, 3, *[1] * 5]
    assert long.outputs[0].tolist() == [0]


def test_lanes_of_ended_rows_are_filled_again():
    shard = Shard(lanes=4)
    shard.ask([1, 2, 3, 4] * 3)
    shard.run()
    assert max(shard.stepper.widths) == 4
    assert sum(shard.stepper.widths) == 3 * (1 + 2 + 3 + 4)
    # 30 lane attempts on 4 lanes take 8 steps at best; the tail cannot be full.
    assert len(shard.stepper.widths) <= 11


def test_methods_have_lanes_of_their_own():
    shard = Shard()
    methods = []
    shard.stepper.before_step = lambda method, lanes: methods.append((method, len(lanes.y)))
    shard.ask([2, 2], method="bosh3")
    shard.ask([2], method="dopri5")
    shard.run()
    assert sorted(methods) == [("bosh3", 2), ("bosh3", 2), ("dopri5", 1), ("dopri5", 1)]


def test_two_models_take_turns():
    shard = Shard()
    other = program(Countdown(shard.clock, lambda lanes: 10 * ATTEMPT_SECONDS))
    quick, slow = shard.ask([200]), shard.ask([200], by=other)
    shard.run(100)
    ran = {
        model: sum(r.seconds for r in shard.reports if r.model == model) for model in (shard.program.model, other.model)
    }
    assert ran[other.model] == pytest.approx(ran[shard.program.model], abs=20 * ATTEMPT_SECONDS)
    shard.run()
    assert quick.end is slow.end is End.COMPLETED


def test_the_first_failing_row_ends_a_request_and_frees_its_lanes():
    shard = Shard(lanes=4)
    asked = shard.ask([9, -2, 9, 9, 9, 9])
    other = shard.ask([9])
    shard.run(2)
    assert asked.end is End.FAILED
    assert asked.first_failed == 1
    shard.run(1)
    assert shard.engine.active == {shard.program.model: 1}
    shard.run()
    assert other.end is End.COMPLETED


def test_with_partial_the_other_rows_go_on():
    shard = Shard(lanes=2)
    asked = shard.ask([3, -2, 1], partial=True)
    shard.run()
    assert asked.end is End.COMPLETED
    assert asked.solution.status.tolist() == [Status.OK, Status.DT_MIN, Status.OK]


def test_a_cancelled_request_frees_its_lanes_at_the_next_step():
    shard = Shard(lanes=2)
    gone = shard.ask([100, 100, 100])
    shard.run(3)
    waits = shard.ask([1, 1])
    gone.finish(End.CANCELLED, shard.clock.now)
    before = len(shard.stepper.widths)
    shard.run()
    assert waits.end is End.COMPLETED
    assert len(shard.stepper.widths) == before + 1
    assert shard.engine.active == {}
    assert shard.ended == [gone, waits]


def test_a_deadline_ends_a_request_under_way_with_what_it_has():
    shard = Shard(lanes=4)
    asked = shard.ask([3, 100], deadline=10 * ATTEMPT_SECONDS, partial=True)
    shard.run()
    assert asked.end is End.COMPLETED
    assert asked.solution.status.tolist() == [Status.OK, Status.DEADLINE]
    assert asked.solution.nfe[1] == pytest.approx(1 + 10 * EVALUATIONS, abs=2 * EVALUATIONS)
    late = shard.ask([100, 100], deadline=shard.clock.now + 5 * ATTEMPT_SECONDS)
    shard.run()
    assert late.end is End.DEADLINE
    # What the last lanes of a group took is reported although the group is gone.
    assert shard.total("useful") == asked.solution.nfe.sum() + late.solution.nfe.sum()


def test_abandoned_requests_are_answered_and_the_engine_goes_on():
    shard = Shard(lanes=2)

    def fail(method, lanes):
        raise RuntimeError("broken")

    hit = shard.ask([2, 2])
    shard.run(1)
    waits = shard.ask([1])
    shard.stepper.before_step = fail
    with pytest.raises(RuntimeError):
        shard.run()
    shard.engine.abandon(RuntimeError("broken"))
    assert hit.end is End.FAULT
    assert str(hit.error) == "broken"
    shard.stepper.before_step = lambda method, lanes: None
    shard.run()
    assert waits.end is End.COMPLETED


def test_an_input_that_cannot_be_started_ends_alone():
    shard, start = Shard(lanes=8), Countdown.start

    def picky(rows):
        if (rows.inputs[:, 0] == 7).any():
            raise RuntimeError("index out of bounds")
        return start(shard.stepper, rows)

    shard.stepper.start = picky
    before = shard.ask([20])
    shard.run(1)
    good, bad, fine = shard.ask([3, 2]), shard.ask([1, 7]), shard.ask([4])
    shard.run()
    assert [asked.end for asked in (before, good, bad, fine)] == [*[End.COMPLETED] * 2, End.FAULT, End.COMPLETED]
    assert str(bad.error) == "index out of bounds"
    assert (good.solution.nfe == 1 + EVALUATIONS * np.array([3, 2])).all()
    assert shard.waiting.depth == 0


def test_a_kind_of_lanes_that_fails_leaves_the_others_alone():
    shard = Shard(lanes=4)

    def fail(method, lanes):
        if method == "bosh3":
            raise RuntimeError("broken")

    other = shard.ask([5], method="dopri5")
    shard.run(1)
    hit = shard.ask([2])
    shard.stepper.before_step = fail
    for _ in range(20):
        try:
            shard.run()
        except RuntimeError as error:
            shard.engine.abandon(error)
    assert (hit.end, other.end) == (End.FAULT, End.COMPLETED)
    assert shard.engine.active == {}


def test_reports_count_every_evaluation_and_which_were_of_use():
    shard = Shard(lanes=2)
    shard.ask([3, 1, 5])
    gone = shard.ask([50])
    shard.run(6)
    gone.finish(End.CANCELLED, 0.0)
    shard.run()
    issued = EVALUATIONS * sum(shard.stepper.widths) + 4
    assert shard.total("issued") == issued
    assert shard.total("useful") == 3 + EVALUATIONS * (3 + 1 + 5)
    assert shard.total("accepted") == sum(shard.stepper.widths)
    assert shard.total("rejected") == 0


def test_the_pace_follows_what_steps_take_and_predicted_work_does_not():
    shard = Shard(seconds_of=lambda lanes: 5 * ATTEMPT_SECONDS * lanes)
    work = shard.program.work(1, "bosh3", 1e-2)
    shard.ask([12_000])
    shard.run()
    assert shard.program.speed.pace == pytest.approx(5, rel=0.01)
    assert shard.program.work(1, "bosh3", 1e-2) == work


def test_alone_a_problem_needs_neither_threads_nor_a_queue():
    solved = solve_alone(problem(program(lanes=3), [4, 0, 2, 7]))
    assert solved.end is End.COMPLETED
    assert solved.outputs[0].tolist() == [0, 1, 2, 3]


requests = st.lists(
    st.tuples(
        st.lists(st.integers(-3, 6), min_size=1, max_size=9), st.sampled_from(["bosh3", "dopri5"]), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


@given(requests, st.integers(1, 5), st.data())
def test_every_request_ends_once_with_its_own_rows(requests, lanes, data):
    shard = Shard(lanes=lanes)
    asked = []
    for number, (attempts, method, partial) in enumerate(requests):
        names = [100 * number + row for row in range(len(attempts))]
        asked.append((shard.ask(attempts, names, method=method, partial=partial), attempts, names))
        shard.run(data.draw(st.integers(0, 5)))
        if data.draw(st.integers(0, 5)) == 0:
            asked[data.draw(st.integers(0, number))][0].finish(End.CANCELLED, 0.0)
    shard.run()
    assert sorted(r.ticket for r in shard.ended) == sorted(r.ticket for r, _, _ in asked)
    for made, attempts, names in asked:
        if made.end is End.COMPLETED:
            assert made.outputs[0].tolist() == names
            assert made.solution.nfe.tolist() == [1 + EVALUATIONS * abs(n) for n in attempts]
            assert made.solution.status.tolist() == [Status.DT_MIN if n < 0 else Status.OK for n in attempts]
        elif made.end is End.FAILED:
            assert min(attempts) < 0
        else:
            assert made.end is End.CANCELLED
    assert shard.engine.active == {}
    assert shard.waiting.depth == 0


def test_a_row_that_ends_in_the_step_in_which_its_deadline_passes_is_late():
    shard = Shard(seconds_of=lambda lanes: 1.0)
    asked, some = shard.ask([1], deadline=0.5), shard.ask([1, 1], deadline=0.5, partial=True)
    fine = shard.ask([1], deadline=1.5)
    shard.run()
    assert asked.end is End.DEADLINE
    assert some.end is End.COMPLETED
    assert some.solution.status.tolist() == [Status.DEADLINE] * 2
    assert some.solution.nfe.tolist() == [1 + EVALUATIONS] * 2
    assert fine.end is End.COMPLETED


@pytest.mark.parametrize("partial", [False, True])
def test_rows_of_a_request_that_is_late_are_not_begun(partial):
    shard = Shard(lanes=4, seconds_of=lambda lanes: 0.1)
    late = shard.ask([3] * 40, deadline=0.5, partial=partial)
    other = shard.ask([2])
    shard.run()
    assert late.end is (End.COMPLETED if partial else End.DEADLINE)
    assert late.finished <= 0.5 + 2 * 0.1
    assert other.end is End.COMPLETED
    # Whole lives of three attempts within five of them, and one more for who came next.
    assert sum(shard.stepper.widths) <= 4 * 7 + 2
    if partial:
        assert set(late.solution.status.tolist()) == {Status.OK, Status.DEADLINE}
        assert (late.solution.status == Status.OK).sum() == 4


@given(st.sets(st.integers(0, 30), min_size=1), st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_rows_that_were_begun_come_back_by_their_numbers(wanted, widths):
    """Whatever the parts, and whichever were never begun."""
    served = program(Countdown())
    asked = request(replace(problem(served, [1] * 60), again=True))
    first, begun = 0, []
    for number, width in enumerate(widths):
        rows = range(first, first + width)
        first += width
        if number % 3 != 1:
            inputs = asked.problem.inputs[rows.start : rows.stop]
            none = np.ones(width)
            asked.keep_begun(rows, served.stepper.start(Rows(inputs, (), Terms(none, none, none, none))).lanes)
            begun += rows
    index = np.array(sorted(wanted & set(begun)) or begun[:1])
    assert asked.begun(index).y[:, 1].tolist() == index.tolist()


def test_rows_have_the_budgets_that_are_left_to_them():
    shard = Shard()
    whole = replace(problem(shard.program, [1, 2, 3]), again=True)
    first = solve_alone(whole)
    budgets = []
    shard.stepper.before_step = lambda method, lanes: budgets.append(lanes.max_nfe.tolist())
    again = replace(whole, begun=first.begun(np.arange(3)), left_nfe=np.array([7, 8, 9]))
    solve_alone(again)
    assert budgets[0] == [7, 8, 9]
