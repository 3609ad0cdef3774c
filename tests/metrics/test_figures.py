"""By hand."""

from __future__ import annotations

import math

import pytest

from pipeline.metrics.figures import figure, told_apart


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (217.4, "217"),
        (1234.5, "1230"),
        (10.0, "10.0"),
        (9.996, "10.0"),
        (1 / 30, "0.0333"),
        (0.00002, "0.0000200"),
        (-0.25, "-0.250"),
        (-0.0, "0"),
    ],
)
def test_three_digits_and_no_power_of_ten(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "limit", "texts"),
    [
        (0.62, 0.3, ("0.62", "0.3")),
        (0.41234567, 0.6, ("0.4123", "0.6")),
        (0.59999999, 0.6, ("0.59999999", "0.6")),
        (0.3 + 5.6e-17, 0.3, ("0.30000000000000004", "0.3")),
        (4.0, 2.0, ("4", "2")),
        (math.nan, 0.6, ("nan", "0.6")),
    ],
)
def test_two_numbers_that_differ_are_written_so(value, limit, texts):
    assert told_apart(value, limit) == texts
