"""Books of lanes against a plain list."""

import math

import numpy as np
from countdown import problem, program, request
from hypothesis import given
from hypothesis import strategies as st

from service.engine.lane_table import LaneTable

PROGRAM = program()


@given(st.lists(st.tuples(st.integers(1, 5), st.lists(st.booleans(), min_size=40, max_size=40)), max_size=8))
def test_lanes_move_up_with_everything_that_is_theirs(rounds):
    table, plain = LaneTable(40), []
    for number, (count, stay) in enumerate(rounds):
        owner = request(problem(PROGRAM, [1] * count))
        times, used = np.full(count, float(number)), np.arange(count)
        table.take(owner, range(count), times, used)
        plain += [(owner.ticket, row, float(number), row) for row in range(count)]
        kept = [lane for lane in range(len(plain)) if stay[lane]]
        table.keep(np.array(kept, np.int64))
        plain = [plain[lane] for lane in kept]
        found = [
            (owner.ticket, int(row), float(table.t[lane]), int(table.nfe[lane]))
            for owner, place, rows in (table.owners(np.arange(len(table))) if len(table) else ())
            for lane, row in zip(range(len(table))[place], rows, strict=True)
        ]
        assert sorted(found) == sorted(plain)
        assert table.free == 40 - len(plain)
        assert {r.ticket for r in table.requests} == {ticket for ticket, *_ in plain}


def test_an_attempt_that_was_not_made_is_not_counted():
    table = LaneTable(2)
    table.take(request(problem(PROGRAM, [1, 1])), range(2), np.zeros(2), np.array([1, 1]))
    table.count(np.array([0.1, 0.0]), np.array([4, 1]), np.array([True, False]), np.array([0.5, 0.7]))
    assert table.attempts.tolist() == [1, 0]
    assert table.accepted.tolist() == [1, 0]
    assert table.error_estimate.tolist() == [0.5, 0.0]


def test_the_earliest_due_time_among_those_with_lanes():
    table = LaneTable(4)
    assert table.due == math.inf
    for deadline in (5.0, 3.0):
        table.take(request(problem(PROGRAM, [1]), deadline=deadline), range(1), np.zeros(1), np.zeros(1, np.int64))
    assert table.due == 3.0
