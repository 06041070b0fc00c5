"""Which tolerance a request gets, on made-up forecasts; and how forecasts and promises are made."""

import math

import numpy as np
import pytest
from countdown import ATTEMPT_SECONDS, EVALUATIONS, problem, program
from hypothesis import given
from hypothesis import strategies as st

from service.engine.choice import CROWDED, FULL, UnreachableDeadlineError, choose
from service.engine.forecast import Crowd, Forecast, forecast
from service.engine.program import KEPT
from service.engine.quantile import QuantileFollower
from service.engine.speed import TURN_SECONDS, Speed

LIMIT = 5.0


def ways(count, served=None):
    served = served or program()
    return [problem(served, [1]) for _ in range(count)]


def chosen(problems, seconds, *, waiting=0.0, left=math.inf, strict=False):
    """Position of the one that was chosen, when they take so long after `waiting`."""
    forecasts = {id(p): Forecast(waiting, waiting + s, waiting + 2 * s) for p, s in zip(problems, seconds, strict=True)}
    found, _ = choose(problems, lambda p: forecasts[id(p)], left=left, limit=LIMIT, strict=strict)
    return problems.index(found)


def test_what_was_asked_for_is_taken_while_there_is_time_and_room():
    assert chosen(ways(3), [3, 2, 1]) == 0
    assert chosen(ways(3), [3, 2, 1], waiting=CROWDED * LIMIT) == 0


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=6), st.floats(0.01, 30), st.floats(1, 4))
def test_a_deadline_takes_the_tightest_that_fits_or_refuses(seconds, left, factor):
    served = program()
    served.worst.factor = factor
    problems = ways(len(seconds), served)
    fits = [k for k, s in enumerate(seconds) if factor * 2 * s <= left]
    if fits:
        assert chosen(problems, seconds, left=left, strict=True) == fits[0]
    else:
        with pytest.raises(UnreachableDeadlineError) as refused:
            chosen(problems, seconds, left=left, strict=True)
        assert refused.value.predicted == pytest.approx(factor * 2 * seconds[-1])


def test_without_a_deadline_of_its_own_a_request_is_refused_only_when_hopeless():
    assert chosen(ways(1), [9], left=10) == 0
    with pytest.raises(UnreachableDeadlineError):
        chosen(ways(1), [11], left=10)


@given(st.floats(0, 2 * LIMIT), st.floats(0, 2 * LIMIT), st.integers(1, 8))
def test_the_more_is_waiting_the_looser_and_never_looser_than_allowed(one, other, count):
    problems, seconds = ways(count), np.ones(count)
    less, more = (chosen(problems, seconds, waiting=waiting) for waiting in sorted((one, other)))
    assert 0 <= less <= more <= count - 1
    assert chosen(problems, seconds, waiting=FULL * LIMIT) == count - 1
    assert chosen(problems, seconds, waiting=1.01 * CROWDED * LIMIT) == min(1, count - 1)


def test_a_forecast_counts_waiting_attempts_company_and_turns():
    served = program(lanes=4)
    alone = forecast(served, "bosh3", 1e-2, 1, Crowd(0.0, 0, 1, 1))
    nfe = served.nfe("bosh3", 1e-2)
    attempts = (nfe - 1) / EVALUATIONS
    assert alone.expected == pytest.approx(attempts * (ATTEMPT_SECONDS + TURN_SECONDS), rel=1e-3)
    later = forecast(served, "bosh3", 1e-2, 1, Crowd(2.0, 0, 1, 1))
    assert (later.waiting, later.expected) == (2.0, pytest.approx(2 + alone.expected))
    assert forecast(served, "bosh3", 1e-2, 1, Crowd(0.0, 0, 1, 3)).expected == pytest.approx(3 * alone.expected)
    many = [forecast(served, "bosh3", 1e-2, 40, Crowd(0.0, 0, shards, 1)).expected for shards in (1, 2)]
    assert many[0] == pytest.approx(2 * many[1], rel=1e-3)
    assert many[0] == pytest.approx(10 * alone.expected, rel=1e-2)
    served.speed.stretch = 1.5
    assert forecast(served, "bosh3", 1e-2, 1, Crowd(0.0, 0, 1, 1)).expected == pytest.approx(1.5 * alone.expected)


@given(st.integers(1, 100))
def test_a_step_of_a_width_that_was_not_timed_lies_on_the_line(lanes):
    speed = Speed(0.0, {"m": 1.0}, {"m": {1: 2.0, 4: 5.0, 16: 17.0}})
    assert speed.latency(1, "m", 1.0, lanes) == pytest.approx(1.0 + lanes + TURN_SECONDS)


@pytest.mark.parametrize("share", [0.5, KEPT])
@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_a_followed_factor_settles_where_its_share_of_requests_stay_within(rng, share, spread):
    follower, taken = QuantileFollower(share, 2.0), np.exp(spread * rng.standard_normal(60_000))
    kept = []
    for ratio in taken:
        kept.append(ratio <= follower.factor)
        follower.observe(float(ratio))
    assert np.mean(kept[10_000:]) == pytest.approx(share, abs=0.02 if share == 0.5 else 0.004)
