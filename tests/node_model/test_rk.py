"""One Runge-Kutta step: what it evaluates, and where."""

import pytest
import torch
from problems import LOTKA_VOLTERRA, WITCH

from node_model.solvers.rk import rk_stages, rk_step
from node_model.solvers.tableaus import ADAPTIVE, FIXED_STEP


class Recorder:
    """A field that remembers when it was called."""

    def __init__(self, field):
        self.field, self.times = field, []

    def __call__(self, t, y, args):
        self.times.append(t.clone())
        return self.field(t, y, args)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_step_costs_what_its_tableau_says_and_gives_the_field_at_the_new_point(method):
    tableau = ADAPTIVE[method]
    field = Recorder(WITCH.field)
    t, h = torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64)
    y = WITCH.start()
    y1, f1, _ = rk_step(field, tableau, t, h, y, WITCH.field(t, y), ())
    assert len(field.times) == tableau.nfe_attempt
    torch.testing.assert_close(f1, WITCH.field(t + h, y1), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("method", FIXED_STEP)
def test_a_method_without_error_estimate_cannot_choose_its_steps(method):
    y = WITCH.start()
    t = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(TypeError, match=method):
        rk_step(WITCH.field, FIXED_STEP[method], t, t + 0.1, y, y, ())


def test_stage_times_are_formed_in_float64_and_only_then_rounded():
    tableau = ADAPTIVE["dopri5"]
    t, h = torch.tensor([1000.0], dtype=torch.float64), torch.tensor([3e-4], dtype=torch.float64)
    field = Recorder(lambda t, y, args: -y)
    y = torch.ones(1, 1)
    rk_stages(field, tableau, t, h, y, -y, ())
    for c, seen in zip(tableau.c[1:], field.times, strict=True):
        assert seen.dtype == torch.float32
        assert float(seen) == float(torch.tensor(1000.0 + c * 3e-4, dtype=torch.float64).to(torch.float32))


def test_steps_of_different_length_and_direction_share_a_batch():
    tableau = ADAPTIVE["dopri5"]
    t = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    h = torch.tensor([0.1, -0.2, 0.0], dtype=torch.float64)
    y = torch.tensor([[1.0, 1.0], [2.0, 0.5], [0.3, 0.7]], dtype=torch.float64)
    f = LOTKA_VOLTERRA.field(t, y)
    together = rk_step(LOTKA_VOLTERRA.field, tableau, t, h, y, f, ())
    for lane in range(3):
        row = slice(lane, lane + 1)
        alone = rk_step(LOTKA_VOLTERRA.field, tableau, t[row], h[row], y[row], f[row], ())
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[row], b, rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(together[0][2], y[2], rtol=0, atol=0)
