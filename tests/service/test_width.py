"""How wide a step is made, from made-up timings."""

import pytest

from service.engine.width import LONGEST_STEP, MOST_LANES, NEARLY_BEST, TURN_SECONDS, best_width, measured_steps


@pytest.mark.parametrize(
    ("fixed", "per_lane"), [(1e-4, 2.5e-4), (2e-4, 4e-6), (1e-3, 1e-7), (1e-2, 1e-3), (0.0, 1e-3), (1e-5, 2.9e-3)]
)
def test_the_width_is_the_least_that_is_nearly_best_and_not_too_long(fixed, per_lane):
    def seconds(lanes):
        return fixed + per_lane * lanes

    lanes = best_width(measured_steps(seconds))
    allowed = [w for w in (2**k for k in range(20)) if w <= MOST_LANES and (w == 1 or seconds(w) <= LONGEST_STEP)]
    per_lane = {w: (seconds(w) + TURN_SECONDS) / w for w in allowed}
    assert lanes in allowed
    assert per_lane[lanes] <= NEARLY_BEST * min(per_lane.values())
    assert lanes == 1 or per_lane[lanes // 2] > NEARLY_BEST * min(per_lane.values())
