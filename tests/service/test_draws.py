"""Draws of a request: streams of their own per item, of the distribution the manifest names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from node_model.manifest import TensorSpec
from service.engine.draws import SEED_LIMIT, draw_items

NORMAL = TensorSpec(name="base", shape=(3,), dtype="float32", draw="standard_normal")
SIGNS = TensorSpec(name="probe", shape=(3,), dtype="float64", draw="rademacher")


@given(st.integers(0, SEED_LIMIT - 1), st.integers(1, 20), st.integers(1, 20))
def test_fewer_items_are_a_beginning_of_more(seed, few, more):
    few, more = sorted((few, more))
    assert np.array_equal(draw_items(NORMAL, seed, more)[:few], draw_items(NORMAL, seed, few))


@given(st.integers(0, SEED_LIMIT - 1))
def test_more_rows_of_an_item_begin_with_the_fewer(seed):
    one = draw_items(SIGNS, seed, 4, per_item=2).reshape(4, 2, 3)
    more = draw_items(SIGNS, seed, 4, per_item=5).reshape(4, 5, 3)
    assert np.array_equal(more[:, :2], one)


def test_seeds_and_items_have_different_streams(rng):
    seed = int(rng.integers(2**62))
    drawn = np.concatenate([draw_items(NORMAL, seed + offset, 50) for offset in range(3)])
    assert len(np.unique(drawn, axis=0)) == 150


def test_draws_have_the_dtype_and_distribution_of_the_spec(rng):
    seed = int(rng.integers(2**62))
    normal, signs = draw_items(NORMAL, seed, 4_000), draw_items(SIGNS, seed, 4_000)
    assert (normal.dtype, signs.dtype) == (np.float32, np.float64)
    # Seeds are fresh: chance breaks this bound once in ten million runs, another distribution at once.
    assert stats.kstest(normal.ravel().astype(np.float64), "norm").pvalue > 1e-7
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)


def test_a_tensor_that_is_given_by_the_caller_is_not_drawn():
    with pytest.raises(ValueError, match="context"):
        draw_items(TensorSpec(name="context", shape=(3,), dtype="float32"), 0, 1)
