"""Whose turn it is on a shard, and how many rows enter."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.scheduler import QUANTUM, DeficitRoundRobin, Scheduler, entering


def shares(robin, seconds, turns=2000):
    """Seconds that each name runs for."""
    ran = Counter()
    for _ in range(turns):
        name = robin.pick(seconds)
        robin.charge(name, seconds[name])
        ran[name] += seconds[name]
    return ran


@given(st.lists(st.floats(1e-5, 2e-2), min_size=2, max_size=5))
def test_models_get_the_same_time_whatever_their_steps_take(seconds):
    costs = dict(enumerate(seconds))
    ran = shares(DeficitRoundRobin(), costs)
    most = max(*seconds, QUANTUM)
    assert max(ran.values()) - min(ran.values()) <= 3 * most


def test_a_newcomer_goes_first():
    robin = DeficitRoundRobin()
    for _ in range(5):
        robin.charge(robin.pick(["big"]), 1.0)
    assert robin.pick(["big", "new"]) == "new"


def test_one_that_had_nothing_to_do_saves_nothing_up():
    robin = DeficitRoundRobin(quantum=1.0)
    for _ in range(100):
        robin.charge(robin.pick(["busy"]), 1.0)
    turns = Counter()
    for _ in range(20):
        name = robin.pick(["busy", "idle"])
        robin.charge(name, 1.0)
        turns[name] += 1
    assert abs(turns["busy"] - turns["idle"]) <= 2


def test_within_a_model_the_lanes_with_the_earliest_due_row_go_on():
    scheduler = Scheduler()
    assert scheduler.pick({("m", "bosh3"): 2.0, ("m", "dopri5"): 1.0}) == ("m", "dopri5")
    assert scheduler.pick({("m", "bosh3"): 2.0, ("m", "dopri5"): 3.0}) == ("m", "bosh3")


def test_due_times_of_other_models_do_not_matter_to_whose_turn_it_is():
    scheduler, turns = Scheduler(), Counter()
    for _ in range(200):
        key = scheduler.pick({("patient", "m"): 9.0, ("hasty", "m"): 1.0})
        scheduler.charge(key, 1e-3)
        turns[key[0]] += 1
    assert abs(turns["patient"] - turns["hasty"]) <= 4


@pytest.mark.parametrize(
    ("waiting", "running", "elsewhere", "width", "shards", "rows"),
    [
        (1, 0, 0, 8, 2, 1),
        (1, 0, 8, 8, 2, 1),
        (16, 0, 0, 8, 2, 8),
        (6, 0, 0, 8, 2, 3),
        (7, 0, 0, 8, 2, 4),
        (4, 0, 4, 8, 2, 4),  # what the first shard left is the second one's
        (1000, 0, 500, 1024, 2, 750),
        (2, 4, 0, 8, 2, 0),  # they are left to a shard that has none
        (3, 4, 6, 8, 2, 3),
        (100, 7, 8, 8, 2, 0),
        (100, 6, 8, 8, 2, 2),
        (100, 0, 0, 1, 2, 1),
        (100, 3, 0, 4, 2, 1),
        (0, 0, 0, 8, 2, 0),
        (9, 0, 0, 8, 1, 8),
    ],
)
def test_a_shard_takes_its_share_once_enough_lanes_are_free(waiting, running, elsewhere, width, shards, rows):
    assert entering(waiting, running, elsewhere, width, shards) == rows


@given(st.lists(st.integers(0, 8), min_size=1, max_size=4), st.integers(0, 100))
def test_what_waits_enters_while_a_shard_has_room(lanes, waiting):
    shares = [entering(waiting, own, sum(lanes) - own, 8, len(lanes)) for own in lanes]
    assert sum(shares) <= sum(8 - own for own in lanes)
    assert all(share for share, own in zip(shares, lanes, strict=True) if not own and waiting)
    assert sum(shares) or not waiting or min(lanes) > 6


def test_a_step_of_an_hour_is_as_soon_accounted_for_as_a_short_one():
    robin, ran, begun = DeficitRoundRobin(), Counter(), time.process_time()
    costs = {"hour": 3600.0, "half": 1800.0}
    for _ in range(20):
        name = robin.pick(costs)
        robin.charge(name, costs[name])
        ran[name] += costs[name]
    assert abs(ran["hour"] - ran["half"]) <= 3600
    # Counted in quanta one by one this would be some twenty million rounds.
    assert time.process_time() - begun < 1
