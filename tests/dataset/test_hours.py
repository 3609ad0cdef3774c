"""A top-up asks for what is missing, at the yield that was seen, and never for more than the plan allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.hours import Limits, first_limits, is_reached, next_limits, wanted_seconds
from pipeline.dataset.plan import DatasetPlan

TOTAL = DatasetPlan(hours=1.0, oversampling=3.0)
ROW_S = 4.0
EACH = DatasetPlan(hours_per_voice=0.5, oversampling=3.0)


def test_of_two_wishes_the_smaller_counts() -> None:
    both = DatasetPlan(hours=1.0, hours_per_voice=0.25)
    assert first_limits(both, ["a", "b"]) == Limits(speakers={"a": 900.0, "b": 900.0})
    assert first_limits(both, "abcdef") == Limits(3600.0)
    assert (wanted_seconds(both, 2), wanted_seconds(both, 6)) == (1800.0, 3600.0)


def test_what_is_missing_is_asked_for_at_the_yield_that_was_seen() -> None:
    # half of what was asked for is accepted: the missing 1800 s cost 3600 s more, and 5 % of that
    assert next_limits(TOTAL, {"a": 3600.0}, {"a": 1800.0}, ROW_S) == Limits(7380.0)
    # a third: 7200 s more would be needed, the plan allows three times 3600 s in all
    assert next_limits(TOTAL, {"a": 3600.0}, {"a": 1200.0}, ROW_S) == Limits(10800.0)
    assert next_limits(TOTAL, {"a": 10800.0}, {"a": 3000.0}, ROW_S) is None
    assert next_limits(TOTAL, {"a": 3600.0}, {"a": 3600.0}, ROW_S) is None


def test_a_top_up_is_of_some_rows() -> None:
    # 1 s is missing of 54 s: it and three rows of 4 s
    plan = DatasetPlan(hours=54 / 3600)
    limits = next_limits(plan, {"a": 53.0}, {"a": 53.0}, ROW_S)
    assert limits is not None
    assert limits.total_s == pytest.approx(53.0 + 1.0 + 12.0)


def test_where_nothing_passes_nothing_more_is_spent() -> None:
    assert next_limits(TOTAL, {"a": 3600.0}, {}, ROW_S) is None


def test_each_voice_is_topped_up_by_its_own_yield() -> None:
    estimated = {"a": 1800.0, "b": 1800.0, "c": 1800.0}
    made = {"a": 1800.0, "b": 900.0}
    # b: 1800 s and 5 % more; c has nothing: its yield is taken for 5 %, and the plan's bound holds
    assert next_limits(EACH, estimated, made, ROW_S) == Limits(speakers={"a": 0.0, "b": 3690.0, "c": 5400.0})
    assert not is_reached(EACH, "abc", made)
    assert is_reached(EACH, "ab", {"a": 1800.0, "b": 1801.0})


def test_hours_in_total_may_come_from_any_voice() -> None:
    assert is_reached(TOTAL, "ab", {"a": 3600.0})
    assert not is_reached(TOTAL, "ab", {"a": 3599.0})


@given(st.floats(0.01, 1.5), st.floats(0.5, 1.5))
def test_rounds_end(share: float, longer: float) -> None:
    """Whatever the yield, asked or granted: a handful of rounds, and never above the bound."""
    asked, rounds = 3600.0, 0
    while (limits := next_limits(TOTAL, {"a": asked}, {"a": asked * share}, ROW_S)) is not None:
        assert limits.total_s is not None
        assert asked < limits.total_s <= 3 * 3600.0
        asked = min(limits.total_s * longer, 3 * 3600.0) if longer > 1 else limits.total_s
        rounds += 1
        assert rounds <= 10
    assert asked * share >= 3600.0 - 1e-6 or asked == pytest.approx(3 * 3600.0)
