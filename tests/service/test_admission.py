"""Who waits, in what order, and how much work may wait."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from countdown import problem, program, request
from hypothesis import given
from hypothesis import strategies as st

from service.engine.admission import PATIENCE, Waiting
from service.engine.request import End, QueueFullError

PROGRAM = program()
SECONDS_PER_ROW = PROGRAM.work(1, "bosh3", 1e-2)


def waiting(shards=2, limit=math.inf, **options):
    return Waiting(shards, limit, **options)


def ask(queue, rows, *, received=0.0, deadline=math.inf, method="bosh3"):
    made = request(problem(PROGRAM, [1] * rows, method=method), received, deadline, ended=queue.drop)
    queue.offer(made)
    return made


def taken(queue, most=10**6, method="bosh3", now=1.0):
    return queue.take((PROGRAM.key, method), most, now)


def test_work_is_counted_in_seconds_of_all_shards():
    queue = waiting(shards=2)
    ask(queue, 10)
    assert queue.seconds == pytest.approx(10 * SECONDS_PER_ROW / 2)
    taken(queue, 4)
    assert queue.seconds == pytest.approx(6 * SECONDS_PER_ROW / 2)
    taken(queue)
    assert queue.seconds == 0
    assert queue.depth == 0


def test_a_request_that_finds_nothing_waiting_is_always_let_in():
    ask(queue := waiting(limit=SECONDS_PER_ROW), 1000)
    assert queue.depth == 1


def test_beyond_the_limit_a_request_is_told_when_there_will_be_room():
    queue = waiting(shards=1, limit=10 * SECONDS_PER_ROW)
    for _ in range(3):
        ask(queue, 4)
    with pytest.raises(QueueFullError) as refused:
        ask(queue, 4)
    assert refused.value.waiting == pytest.approx(12 * SECONDS_PER_ROW)
    assert refused.value.retry_after == pytest.approx(7 * SECONDS_PER_ROW)
    # ... and is right: newcomers do not take the room, and once that much has been taken it is let in.
    taken(queue, 6)
    with pytest.raises(QueueFullError) as refused:
        ask(queue, 4)
    assert refused.value.retry_after == pytest.approx(1 * SECONDS_PER_ROW)
    taken(queue, 2)
    ask(queue, 4)


def test_after_there_was_room_again_the_queue_fills_to_its_limit():
    queue = waiting(shards=1, limit=10 * SECONDS_PER_ROW)
    ask(queue, 11)
    with pytest.raises(QueueFullError):
        ask(queue, 11)
    taken(queue)
    for _ in range(5):
        ask(queue, 2)
    assert queue.seconds == pytest.approx(10 * SECONDS_PER_ROW)


def test_a_large_request_does_not_shut_out_the_small_ones_that_overtake_it():
    queue = waiting(shards=1, limit=10.5 * SECONDS_PER_ROW)
    ask(queue, 1000)
    small = [ask(queue, 1) for _ in range(11)]
    with pytest.raises(QueueFullError):
        ask(queue, 1)
    with pytest.raises(QueueFullError) as refused:
        ask(queue, 1001)
    assert refused.value.waiting == pytest.approx(1011 * SECONDS_PER_ROW)
    assert [owner for owner, _ in taken(queue, 11)] == small


def test_a_request_waits_for_other_programs_as_long_as_for_its_own_at_most():
    queue, other = waiting(shards=1, limit=10 * SECONDS_PER_ROW), program()
    queue.offer(request(problem(other, [1] * 1000), ended=queue.drop))
    ask(queue, 6)
    with pytest.raises(QueueFullError) as refused:
        ask(queue, 6)
    assert refused.value.waiting == pytest.approx(12 * SECONDS_PER_ROW)


def test_waiting_is_told_at_the_pace_of_the_moment_and_the_order_does_not_move_with_it():
    queue, slow = waiting(shards=1, limit=100 * SECONDS_PER_ROW), program()
    asked = [request(problem(slow, [1] * 8), received=0.01 * i, ended=queue.drop) for i in range(7)]
    for i, one in enumerate(asked[:3]):
        slow.speed.pace = 4.0 - i
        queue.offer(one)
    slow.speed.pace = 5.0
    assert queue.seconds == pytest.approx(5 * 24 * SECONDS_PER_ROW)
    with pytest.raises(QueueFullError) as refused:
        queue.offer(asked[3])
    assert refused.value.waiting == pytest.approx(queue.seconds)
    slow.speed.pace = 1.0
    queue.offer(asked[4])
    assert [owner for owner, _ in queue.take((slow.key, "bosh3"), 100, now=1.0)] == [*asked[:3], asked[4]]


def test_no_more_waits_in_all_than_would_be_in_time():
    queue = waiting(shards=1, limit=10 * SECONDS_PER_ROW, most=100 * SECONDS_PER_ROW)
    for rows in (60, 50):
        ask(queue, rows)
    with pytest.raises(QueueFullError) as refused:
        ask(queue, 1)
    assert refused.value.retry_after == pytest.approx(10 * SECONDS_PER_ROW)


def test_short_requests_go_ahead_of_long_ones_that_came_a_little_earlier():
    queue = waiting(shards=1)
    long, short = ask(queue, 100), ask(queue, 1, received=10 * SECONDS_PER_ROW)
    assert [owner for owner, _ in taken(queue)] == [short, long]


def test_nothing_starves_because_due_times_do_not_move():
    queue = waiting(shards=1)
    long = ask(queue, 100)
    late = ask(queue, 1, received=PATIENCE * 100 * SECONDS_PER_ROW)
    assert [owner for owner, _ in taken(queue)] == [long, late]


def test_a_deadline_brings_a_request_forward():
    queue = waiting(shards=1)
    easy = ask(queue, 50)
    urgent = ask(queue, 100, deadline=2 * SECONDS_PER_ROW)
    assert [owner for owner, _ in taken(queue, now=0.0)] == [urgent, easy]


def test_patience_zero_is_first_come_first_served():
    queue = waiting(shards=1, patience=0.0)
    first, second = ask(queue, 100, received=1.0), ask(queue, 1, received=1.1)
    assert [owner for owner, _ in taken(queue)] == [first, second]


def test_rows_come_in_order_and_in_parts():
    queue = waiting()
    owner = ask(queue, 10)
    parts = [rows for _ in range(4) for _, rows in taken(queue, 3)]
    assert parts == [range(3), range(3, 6), range(6, 9), range(9, 10)]
    assert owner.started == 1.0


def test_an_ended_request_gives_nothing_more():
    queue = waiting()
    gone, stays = ask(queue, 5), ask(queue, 5, received=1.0)
    taken(queue, 2)
    gone.finish(End.CANCELLED, 2.0)
    assert queue.depth == 1
    assert queue.seconds == pytest.approx(5 * SECONDS_PER_ROW / 2)
    assert taken(queue) == [(stays, range(5))]


def test_kinds_of_lanes_have_queues_of_their_own():
    queue = waiting()
    ask(queue, 2)
    ask(queue, 3, method="dopri5", received=1.0)
    assert queue.rows((PROGRAM.key, "bosh3")) == 2
    assert queue.rows((PROGRAM.key, "dopri5")) == 3
    due = queue.due()
    assert due[PROGRAM.key, "bosh3"] < due[PROGRAM.key, "dopri5"]
    assert len(taken(queue, method="dopri5")) == 1
    assert list(queue.due()) == [(PROGRAM.key, "bosh3")]


actions = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 40)),
        st.tuples(st.just("end"), st.integers(0, 10**6)),
    ),
    max_size=60,
)


@given(actions)
def test_the_books_agree_with_a_list_of_requests(actions):
    queue, asked, given_out = waiting(shards=3), [], SimpleNamespace(rows=[])
    for action, number in actions:
        if action == "ask":
            asked.append(ask(queue, number, received=float(len(asked))))
        elif action == "take":
            given_out.rows += [(owner.ticket, row) for owner, rows in taken(queue, number) for row in rows]
        elif asked:
            asked[number % len(asked)].finish(End.CANCELLED, 0.0)
        rows = sum(owner.waiting_rows for owner in asked)
        assert queue.rows((PROGRAM.key, "bosh3")) == rows
        assert queue.depth == sum(owner.waiting_rows > 0 for owner in asked)
        assert queue.seconds == pytest.approx(rows * SECONDS_PER_ROW / 3, abs=1e-12)
    assert len(given_out.rows) == len(set(given_out.rows))


def admit(queue, problems, *, received=0.0, now=None, deadline=math.inf, strict=False):
    now = received if now is None else now
    return queue.admit(
        problems,
        received=received,
        deadline=deadline,
        strict=strict,
        now=now,
        ended=lambda request: queue.drop(request),
    )


def test_a_forecast_has_what_waits_ahead_and_shares_turns_with_who_runs():
    queue, other = waiting(shards=1), program()
    asked = problem(PROGRAM, [1])
    alone = queue.forecast(asked, 0.0, math.inf)
    assert alone.waiting == 0
    ask(queue, 10)
    behind = queue.forecast(problem(PROGRAM, [1] * 20), 0.0, math.inf)
    assert behind.waiting == pytest.approx(10 * SECONDS_PER_ROW)
    taken(queue)
    # Its own program has a turn beside each that runs, whether it runs already or not.
    queue.note_lanes((other.key, "bosh3"), 0, 1)
    assert queue.forecast(asked, 0.0, math.inf).expected == pytest.approx(2 * alone.expected)
    queue.note_lanes((PROGRAM.key, "bosh3"), 0, 1)
    assert queue.forecast(asked, 0.0, math.inf).expected == pytest.approx(2 * alone.expected)
    queue.note_lanes((other.key, "bosh3"), 0, 0)
    assert queue.forecast(asked, 0.0, math.inf).expected == pytest.approx(alone.expected)


def test_a_forecast_and_the_work_end_where_the_budget_does():
    queue, plenty = waiting(shards=1), problem(PROGRAM, [1])
    little = replace(plenty, max_nfe=7)
    whole, cut = (queue.forecast(asked, 0.0, math.inf) for asked in (plenty, little))
    assert cut.expected == pytest.approx(whole.expected * 6 / 49, rel=0.01)
    assert cut.p99 == cut.expected
    # One of the evaluations is made at the start, whatever the budget.
    assert little.work == pytest.approx(PROGRAM.speed.nominal(1, "bosh3", 6))
    assert plenty.work == pytest.approx(PROGRAM.speed.nominal(1, "bosh3", 49))


def test_a_request_that_is_let_in_is_told_what_to_expect_from_then_on():
    queue = waiting(shards=1)
    made = admit(queue, [problem(PROGRAM, [1])], received=1.0, now=1.5)
    expected = PROGRAM.usual.factor * made.promise.forecast.expected
    assert made.promise.at == 1.5
    assert made.predicted == pytest.approx(0.5 + expected)
    assert made.promise.forecast.waiting == 0


def test_a_looser_way_is_let_in_where_a_tighter_one_is_refused():
    queue = waiting(shards=1, limit=10 * SECONDS_PER_ROW)
    ask(queue, 12)
    with pytest.raises(QueueFullError):
        ask(queue, 12)
    taken(queue, 4)
    long, short = problem(PROGRAM, [1] * 12), replace(problem(PROGRAM, [1] * 12), max_nfe=4, rtol=1e-1, atol=1e-1)
    with pytest.raises(QueueFullError):
        admit(queue, [long])
    assert admit(queue, [long, short]).problem is short


def test_crowding_is_measured_against_the_limit_in_force():
    queue = waiting(shards=1, limit=20 * SECONDS_PER_ROW)
    ways = [problem(PROGRAM, [1] * 30) for _ in range(3)]
    ask(queue, 8)
    assert admit(queue, ways).problem is ways[0]
    queue = waiting(shards=1, limit=20 * SECONDS_PER_ROW)
    ask(queue, 30)
    with pytest.raises(QueueFullError):
        ask(queue, 30)
    taken(queue, 19)
    # 11 rows wait: about half the limit, and all of what may wait until the queue has been worked off.
    with pytest.raises(QueueFullError):
        admit(queue, ways)
    taken(queue, 2)
    assert admit(queue, ways).problem is ways[0]


def test_nothing_is_taken_of_a_request_whose_deadline_has_passed():
    queue = waiting(shards=1)
    late, fine = ask(queue, 1, deadline=0.5), ask(queue, 2)
    assert [(owner, rows.tolist()) for owner, rows in queue.late(0.6)] == [(late, [0])]
    assert queue.late(0.6) == []
    assert queue.depth == 1
    assert queue.seconds == pytest.approx(2 * SECONDS_PER_ROW)
    assert [owner for owner, _ in taken(queue, now=0.6)] == [fine]
    later = ask(queue, 1, deadline=0.7)
    assert taken(queue, now=0.8) == []
    assert [owner for owner, _ in queue.late(0.8)] == [later]
