"""What the machine's speed is taken for: after pauses, while nothing is asked, and from requests that end."""

import math

import pytest
from countdown import Clock, Countdown, problem, program, request

from node_model.status import Status
from service.engine.admission import PROBE_SECONDS, Waiting
from service.engine.choice import UnreachableDeadlineError
from service.engine.fading import FADE_SECONDS, QUIET_SECONDS, Fading
from service.engine.forecast import Forecast, Promise
from service.engine.learning import learn
from service.engine.program import ServedProgram, usual_factor, worst_factor
from service.engine.request import End
from service.engine.speed import MOST_JUMP, Speed


def on(clock):
    """A program whose measurements are told by a clock."""
    plain = program(Countdown(clock))
    seconds = {"bosh3": 1e-3 / 3, "dopri5": 1e-3 / 3}
    steps = {method: {1: 1e-3, 4: 1e-3} for method in seconds}
    speed = Speed(1e-6, seconds, steps, clock)
    factors = usual_factor(clock), worst_factor(clock)
    return ServedProgram(plain.model, plain.key, plain.stepper, plain.cost, speed, plain.lanes, *factors)


def promised(served, *, received=0.0, at=0.0, strict=True, probe=False, deadline=math.inf, partial=False):
    made = request(problem(served, [1, 1], partial=partial), received, deadline)
    made.promise = Promise(at, Forecast(0.0, 0.010, 0.012), 0.010, strict, probe)
    return made


def test_what_was_learned_stays_while_it_is_measured_and_fades_while_it_is_not():
    clock = Clock()
    followed = Fading(2.0, clock)
    for _ in range(100):
        clock.now += 0.9 * QUIET_SECONDS
        followed.set(8.0)
    assert followed.now() == 8.0
    clock.now += QUIET_SECONDS + FADE_SECONDS
    assert followed.now() == pytest.approx(2 * 4 ** math.exp(-1))
    clock.now += 100 * FADE_SECONDS
    assert followed.now() == pytest.approx(2.0)


def test_a_measurement_that_takes_long_is_no_time_without_any():
    clock = Clock()
    followed = Fading(1.0, clock)
    followed.set(8.0)
    clock.now += 10 * FADE_SECONDS
    assert followed.before(10 * FADE_SECONDS) == 8.0


def test_one_pause_hardly_counts_and_a_slow_machine_is_followed():
    clock = Clock()
    speed = on(clock).speed
    speed.turned("bosh3", 0, 4, 12.0)
    speed.stepped("bosh3", 12, 12.0)
    assert max(speed.stretch, speed.pace) < 1.02
    for _ in range(5000):
        clock.now += 50 * 1.3e-3
        speed.turned("bosh3", 0, 4, 50 * 1.3e-3)
    assert MOST_JUMP < 50
    assert speed.stretch == pytest.approx(50, rel=0.05)


def test_rows_that_go_on_from_encoded_states_do_not_make_the_machine_look_fast():
    speed = Speed(1.0, {"m": 1.0}, {"m": {1: 1.0}})
    speed.turned("m", 0, 1, 1.0003)
    assert speed.stretch == pytest.approx(1.0)


def test_a_slow_upload_teaches_nothing_about_the_solver():
    clock = Clock()
    served = on(clock)
    before = served.usual.factor, served.worst.factor
    made = promised(served, received=0.0, at=0.5)
    assert made.predicted == pytest.approx(0.51)
    made.finish(End.COMPLETED, 0.55)
    learn(made, 0.55)
    # It took five times what was forecast when it was let in.
    assert served.usual.factor > before[0]
    assert served.worst.factor > before[1]


@pytest.mark.parametrize("partial", [False, True])
def test_a_deadline_that_was_missed_counts_as_taken_longer_than_allowed(partial):
    clock = Clock()
    served = on(clock)
    made = promised(served, deadline=0.013, partial=partial)
    made.expire(made.give_up(), 0.013)
    assert made.end is (End.COMPLETED if partial else End.DEADLINE)
    assert set(made.solution.status.tolist()) == {Status.DEADLINE}
    before = served.worst.factor
    learn(made, 0.013)
    assert served.worst.factor > before
    # That of the server is none of which a request was told that it would hold.
    other = promised(served, strict=False)
    other.expire(other.give_up(), 60.0)
    before = served.worst.factor
    learn(other, 60.0)
    assert served.worst.factor == before


def ask(queue, served, *, seconds, now=0.0, **options):
    return queue.admit(
        [problem(served, [1])],
        received=now,
        deadline=now + seconds,
        strict=True,
        now=now,
        ended=queue.drop,
        **options,
    )


def test_an_idle_server_that_thinks_itself_slow_finds_out_that_it_is_not():
    clock = Clock()
    served, queue = on(clock), Waiting(1, 5.0)
    served.speed.stretch, served.worst.factor = 13.0, 20.0
    refused = answered = 0
    while answered < 20:
        try:
            made = ask(queue, served, seconds=0.2, now=clock.now)
        except UnreachableDeadlineError:
            refused += 1
        else:
            queue.take(made.key, 1, clock.now)
            queue.drop(made)
            clock.now += 0.02
            made.finish(End.COMPLETED, clock.now)
            learn(made, clock.now)
            answered += 1
        clock.now += 0.1
        assert clock.now < 15, (refused, answered)
    assert served.speed.stretch < 3


def test_probes_are_few_and_only_where_nothing_runs_or_waits_and_it_would_fit_at_first():
    clock = Clock()
    served, queue = on(clock), Waiting(1, 5.0)
    served.worst.factor, served.speed.stretch = 20.0, 10.0
    with pytest.raises(UnreachableDeadlineError) as refused:
        ask(queue, served, seconds=0.01)
    assert refused.value.predicted == pytest.approx(200 * 17 * 1.3e-3, rel=0.1)
    queue.note_lanes(("other", "bosh3"), 0, 1)
    with pytest.raises(UnreachableDeadlineError):
        ask(queue, served, seconds=0.2)
    queue.note_lanes(("other", "bosh3"), 0, 0)
    probe = ask(queue, served, seconds=0.2)
    assert probe.promise.probe
    with pytest.raises(UnreachableDeadlineError):
        ask(queue, served, seconds=0.2)
    probe.finish(End.DEADLINE, 0.2)
    learn(probe, 0.2)
    assert served.worst.factor >= 20.0 - 1e-9
    with pytest.raises(UnreachableDeadlineError):
        ask(queue, served, seconds=0.2, now=0.9 * PROBE_SECONDS)
    assert ask(queue, served, seconds=0.2, now=PROBE_SECONDS).promise.probe
