"""Against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.metrics.student import t_quantile, widening


@given(st.integers(1, 400), st.sampled_from([0.6, 0.9, 0.975, 0.995]))
def test_quantiles(freedom, share):
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-6)


def test_what_few_voices_ask_for():
    # of two, one degree of freedom: 12.706 / 1.960 * sqrt(2)
    assert widening(2, 0.95) == pytest.approx(9.168, abs=0.001)
    assert widening(12, 0.95) == pytest.approx(2.201 / 1.960 * (12 / 11) ** 0.5, abs=0.001)
    assert widening(100_000, 0.95) == pytest.approx(1.0, abs=1e-4)
    assert widening(1, 0.95) == 1.0
