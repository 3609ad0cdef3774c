"""By hand, and from the normal interval of a mean of differences in a large set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.metrics.intervals import Interval, ScoredRow
from pipeline.metrics.paired import compare

ROWS = st.lists(
    st.builds(ScoredRow, st.integers(0, 12), st.integers(1, 9), st.sampled_from("abcd")),
    min_size=1,
    max_size=12,
)


def integers(seed: int, low: int, high: int, count: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(low, high, count)]


def run_of(errors: list[int], units: int = 10, voices: int | None = None) -> dict[str, ScoredRow]:
    return {
        f"u{i}": ScoredRow(count, units, str(i % (voices or len(errors)))) for i, count in enumerate(errors)
    }


def test_what_is_hard_for_both_cancels():
    errors = integers(1, 0, 9, 300)
    a, b = run_of(errors), run_of([count + 1 for count in errors])
    found = compare(a, b)
    # every row is worse by one word of ten: exactly 10 points, however different the rows are
    assert found.difference_points == Interval(*[pytest.approx(10.0)] * 3, 300)
    assert found.share_b_lower == 0.0
    assert found.resolvable_points == pytest.approx(100 / (300 * 10))  # one error in one row
    assert found.verdict().startswith(
        "B is higher by 10.0 points; 300 voices cannot resolve less than 0.0333 "
    )


@pytest.mark.parametrize("aggregate", ["macro", "micro"])
def test_paired_interval_is_the_normal_one_in_a_large_set(aggregate):
    a = integers(2, 0, 6, 800)
    b = [max(0, count + step) for count, step in zip(a, integers(3, -2, 3, 800), strict=True)]
    found = compare(run_of(a), run_of(b), aggregate=aggregate)
    deltas = 10.0 * (np.array(b) - np.array(a))  # points, of 10 words each
    half = 1.96 * deltas.std() / np.sqrt(800)
    assert found.difference_points.estimate == pytest.approx(deltas.mean())
    assert found.difference_points.low == pytest.approx(deltas.mean() - half, abs=0.1 * half)
    assert found.difference_points.high == pytest.approx(deltas.mean() + half, abs=0.1 * half)
    assert found.resolvable_points == pytest.approx(half, rel=0.05)


def test_micro_weighs_by_length():
    a = {"x": ScoredRow(0, 1, "p"), "y": ScoredRow(0, 99, "q"), "z": ScoredRow(5, 5, "q")}
    b = {"x": ScoredRow(1, 1, "p"), "y": ScoredRow(0, 99, "q"), "w": ScoredRow(5, 5, "q")}
    macro, micro = compare(a, b), compare(a, b, aggregate="micro")
    assert (macro.rows, macro.only_in_a, macro.only_in_b) == (2, 1, 1)
    assert (macro.a, macro.b, macro.difference_points.estimate) == (0.0, 0.5, 50.0)
    assert (micro.b, micro.difference_points.estimate) == (0.01, 1.0)


@settings(max_examples=30)
@given(ROWS, st.lists(st.integers(0, 12), min_size=12, max_size=12))
def test_the_other_way_round_is_the_negative(rows, errors):
    a = {str(i): row for i, row in enumerate(rows)}
    b = {str(i): replace(row, errors=e) for i, (row, e) in enumerate(zip(rows, errors, strict=False))}
    there, back = compare(a, b, resamples=300), compare(b, a, resamples=300)
    assert there.difference_points.estimate == pytest.approx(-back.difference_points.estimate)
    if there.share_b_lower is not None:
        assert there.difference_points.low == pytest.approx(-back.difference_points.high)
        assert there.share_b_lower == pytest.approx(1 - back.share_b_lower)
        assert there.resolvable_points == pytest.approx(back.resolvable_points)


def test_what_cannot_be_compared():
    nothing = compare(run_of([1]), {})
    assert (nothing.rows, nothing.only_in_a, nothing.difference_points.estimate) == (0, 1, None)
    assert nothing.verdict() == "the two runs have no scored id in common"
    alone = compare(run_of([1, 2], voices=1), run_of([2, 2], voices=1))
    assert alone.difference_points == Interval(pytest.approx(5.0), None, None, 1)
    assert alone.verdict() == "one voice only: no interval can be given"
    with pytest.raises(ValueError, match="p95: compare macro or micro"):
        compare({}, {}, aggregate="p95")


def test_verdicts():
    a = integers(4, 0, 6, 100)
    same = compare(run_of(a), run_of(a[::-1]))
    assert same.verdict().startswith("no difference can be seen; 100 voices cannot resolve less than")
    lower = compare(run_of([count + 1 for count in a]), run_of(a))
    assert lower.verdict().startswith("B is lower by 10.0 points;")


def test_numbers_are_written_out():
    # a loop of 300 words, in one voice of two: the ends are nine times as far apart as the two voices
    found = compare(run_of([0, 0]), run_of([0, 300]))
    assert found.verdict() == "no difference can be seen; 2 voices cannot resolve less than 13800 points"


@pytest.mark.parametrize("voices", [2, 3, 5])
def test_two_equal_systems_seldom_differ_however_few_the_voices(voices):
    random = np.random.default_rng(9)

    def heard(hard):
        return run_of(random.binomial(40, np.tile(hard, 6)).tolist(), 40, voices)

    seen = 0
    for _ in range(300):
        # every voice is easier for one system or the other, none of the two for all voices
        here, there = (np.clip(random.normal(0.3, 0.1, voices), 0.02, 0.98) for _ in "ab")
        seen += "no difference" not in compare(heard(here), heard(there), resamples=300).verdict()
    assert seen / 300 < 0.1
