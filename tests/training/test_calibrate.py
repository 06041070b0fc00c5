import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.answer_errors import answer_error, margin_error
from training.measure import LADDER, least_true


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_least_true_finds_the_threshold(threshold, least):
    assert least_true(lambda n: n >= threshold, least) == max(threshold, least)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 10))
def test_a_margin_above_its_error_keeps_the_label(seed, noise):
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((50, 10))
    logits = reference + noise * rng.standard_normal((50, 10))
    error = margin_error(logits, reference)
    top = np.sort(logits, -1)
    safe = top[:, -1] - top[:, -2] > error
    rows = np.arange(50)[safe]
    first, second = np.argsort(logits, -1)[:, -1], np.argsort(logits, -1)[:, -2]
    assert (reference[rows, first[rows]] > reference[rows, second[rows]]).all()


def test_answer_errors_are_the_largest_logit_the_density_or_the_rms_of_a_point():
    assert answer_error(np.array([[1.0, 5.0]]), np.array([[2.0, 2.0]]), "logit") == pytest.approx([3.0])
    assert answer_error(np.array([1.0, 2.0]), np.array([1.5, 2.0]), "nat") == pytest.approx([0.5, 0.0])
    assert answer_error(np.array([[3.0, 4.0]]), np.zeros((1, 2)), "output") == pytest.approx([12.5**0.5])


def test_the_ladder_has_two_rungs_a_decade():
    assert LADDER[:4] == (1e-1, 3e-2, 1e-2, 3e-3)
    assert list(LADDER) == sorted(LADDER, reverse=True)
