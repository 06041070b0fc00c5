"""Every method has the order it claims, and a wrong constant does not get past the tableau."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from problems import WITCH

from node_model.errors import SolverArgumentError
from node_model.solvers.rk import rk_stages, rk_step
from node_model.solvers.tableaus import ADAPTIVE, FIXED_STEP, tableau_of

ALL = ADAPTIVE | FIXED_STEP
# Steps between which the error is measured: small enough for the leading term, large enough to stay above rounding.
STEPS = {1: (32, 256), 2: (16, 128), 3: (16, 128), 4: (16, 128), 5: (16, 128), 8: (4, 8)}


def error_with_equal_steps(tableau, steps):
    y = WITCH.start()
    h = torch.full((1,), WITCH.t1 / steps, dtype=torch.float64)
    for index in range(steps):
        t = index * h
        y, _ = rk_stages(WITCH.field, tableau, t, h, y, WITCH.field(t, y), ())
    return float((y[0] - WITCH.answer(WITCH.t1)).abs().max())


@pytest.mark.parametrize("method", ALL)
def test_global_error_falls_with_the_order_of_the_method(method):
    tableau = ALL[method]
    coarse, fine = STEPS[tableau.order]
    ratio = error_with_equal_steps(tableau, coarse) / error_with_equal_steps(tableau, fine)
    order = math.log(ratio) / math.log(fine / coarse)
    assert tableau.order - 0.3 < order < tableau.order + 0.95


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_estimate_falls_with_the_order_of_the_embedded_method(method):
    tableau = ADAPTIVE[method]
    t = torch.tensor([0.4], dtype=torch.float64)
    y = WITCH.answer(0.4)[None]

    def estimate(h):
        step = torch.tensor([h], dtype=torch.float64)
        return float(rk_step(WITCH.field, tableau, t, step, y, WITCH.field(t, y), ())[2].abs().max())

    # An embedded method of order q errs by O(h^(q + 1)); here q is one less than the order of the method.
    order = math.log2(estimate(1 / 16) / estimate(1 / 32))
    assert order == pytest.approx(tableau.order, abs=0.35)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_estimate_is_the_difference_of_both_solutions(method):
    tableau = ADAPTIVE[method]
    t, h = torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)
    y = WITCH.answer(0.4)[None]
    _, _, err = rk_step(WITCH.field, tableau, t, h, y, WITCH.field(t, y), ())
    embedded = tuple(high - low for high, low in zip(tableau.b, tableau.b_err, strict=True))
    # Past the last stage of a first-same-as-last pair lies f at the new point, so both sums are over the same stages.
    y1, stages = rk_stages(WITCH.field, tableau, t, h, y, WITCH.field(t, y), ())
    low = y + h[:, None] * sum(weight * stage for weight, stage in zip(embedded, stages, strict=True))
    torch.testing.assert_close(y1 - low, err, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize(
    ("method", "fsal", "nfe_attempt"),
    [("heun2", False, 2), ("bosh3", True, 3), ("dopri5", True, 6), ("tsit5", True, 6), ("dopri8", False, 13)],
)
def test_cost_of_an_attempt_follows_from_the_numbers(method, fsal, nfe_attempt):
    assert ADAPTIVE[method].fsal is fsal
    assert ADAPTIVE[method].nfe_attempt == nfe_attempt


@given(method=st.sampled_from(sorted(ALL)), data=st.data(), change=st.floats(1e-9, 10).map(lambda x: x))
def test_a_wrong_entry_is_refused(method, data, change):
    tableau = ALL[method]
    rows = [("b", None)] + [("a", i) for i in range(1, len(tableau.a))]
    rows += [("c", None)] if len(tableau.a) > 1 else []
    rows += [("b_err", None)] if tableau.b_err is not None else []
    name, row = data.draw(st.sampled_from(rows))
    values = getattr(tableau, name)
    target = list(values if row is None else values[row])
    target[data.draw(st.integers(0, len(target) - 1))] += change
    wrong = tuple(target) if row is None else (*values[:row], tuple(target), *values[row + 1 :])
    with pytest.raises(ValueError, match=method):
        replace(tableau, **{name: wrong})


@pytest.mark.parametrize(
    "change",
    [
        {"c": (0.0, 0.5, 0.75)},
        {"a": ((), (0.5, 0.0), (0.0, 0.75), (2 / 9, 1 / 3, 4 / 9))},
        {"b_err": (0.5, -0.5)},
    ],
)
def test_a_row_of_the_wrong_length_is_refused(change):
    with pytest.raises(ValueError, match="bosh3"):
        replace(ADAPTIVE["bosh3"], **change)


def test_an_unknown_method_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(SolverArgumentError, match="bosh3, dopri5, tsit5, dopri8, euler, midpoint, rk4; got 'dopri6'"):
        tableau_of("dopri6")


def test_every_method_is_found_by_its_name_and_cites_its_source():
    for name, tableau in ALL.items():
        assert tableau_of(name) is tableau
        assert tableau.name == name
        assert any(character.isdigit() for character in tableau.source)
