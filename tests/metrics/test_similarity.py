from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.metrics.similarity import cosine

VECTORS = arrays(np.float32, 8, elements=st.floats(-100, 100, width=32)).filter(lambda v: v.any())


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 0], [0, 1], 0.0),
        ([1, 0], [3, 0], 1.0),
        ([1, 2], [-1, -2], -1.0),
        ([1, 0], [1, 1], math.sqrt(0.5)),  # 45 degrees
        ([3, 4], [4, 3], 24 / 25),
        ([1e-30, 0], [1e-30, 1e-30], math.sqrt(0.5)),  # squares that float32 cannot hold
        ([1e30, 0], [1e30, 1e30], math.sqrt(0.5)),
    ],
)
def test_by_hand(a, b, expected):
    assert cosine(np.array(a, np.float32), np.array(b, np.float32)) == pytest.approx(expected, abs=1e-7)


@given(VECTORS, VECTORS)
def test_symmetric_and_bounded(a, b):
    assert cosine(a, b) == cosine(b, a)
    assert -1.0 <= cosine(a, b) <= 1.0


@given(VECTORS, st.floats(0.01, 100))
def test_length_does_not_matter(a, factor):
    assert cosine(a, a.astype(np.float64) * factor) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [0.0, 0.0]),
        ([1.0], [1.0, 0.0]),
        ([[1.0]], [[1.0]]),
        ([], []),
        ([np.nan, 1.0], [1.0, 0.0]),
        ([np.inf, 1.0], [1.0, 0.0]),
    ],
)
def test_undefined_is_an_error(a, b):
    with pytest.raises(ValueError, match="embedding"):
        cosine(np.array(a, np.float32), np.array(b, np.float32))
