from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from training.evaluate import wilson_interval


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_wilsons(counts):
    hits, count = counts
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(hits, count)
    assert abs(low - expected.low) < 1e-6
    assert abs(high - expected.high) < 1e-6
