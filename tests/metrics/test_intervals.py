"""Expected values by hand, from numpy on rows repeated as drawn, and from scipy's intervals and bootstrap;
[ref] marks what reference/evaluation.md, section 5, has measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.metrics.intervals import (
    Interval,
    ScoredRow,
    scored_rows,
    wilson,
)

ROWS = st.lists(
    st.builds(ScoredRow, st.integers(0, 12), st.integers(1, 9), st.sampled_from("abcd")),
    min_size=1,
    max_size=12,
)


def some_rows(count: int, voices: int) -> list[ScoredRow]:
    random = np.random.default_rng(7)
    return [
        ScoredRow(int(errors), int(units), str(voice))
        for errors, units, voice in zip(
            random.choice([0, 0, 0, 1, 2, 9], count),
            random.integers(4, 12, count),
            random.integers(voices, size=count),
            strict=True,
        )
    ]


def of(rows: list[ScoredRow]) -> dict[str, float]:
    """The aggregates of rows that stand there one by one, by numpy."""
    rates = np.array([row.errors / row.units for row in rows])
    return {
        "macro": rates.mean(),
        "macro_clipped": np.clip(rates, None, 1.0).mean(),
        "micro": sum(row.errors for row in rows) / sum(row.units for row in rows),
        "median": np.median(rates),
        "p95": np.percentile(rates, 95),
        "share_over_50_percent": (rates > 0.5).mean(),
    }


@pytest.mark.parametrize(
    ("successes", "low", "high"),
    [(156, 49.9, 61.4), (212, 70.4, 80.4)],  # [ref] 55.71 % and 75.71 % of 280
)
def test_wilson_of_the_published_win_rates(successes, low, high):
    made = wilson(successes, 280)
    assert (100 * made.low, 100 * made.high) == pytest.approx((low, high), abs=0.05)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_against_scipy(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    other = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    made = wilson(successes, trials, confidence)
    assert (made.low, made.high) == pytest.approx((other.low, other.high), abs=1e-9)
    assert made.low <= made.estimate <= made.high


def test_wilson_edges():
    assert wilson(0, 0) == Interval(None, None, None)
    assert wilson(1.5, 3).estimate == 0.5
    with pytest.raises(ValueError, match="4 successes of 3 trials"):
        wilson(4, 3)


def test_scored_rows_of_a_run():
    counts = {"wer_substitutions": 1, "wer_deletions": 2, "wer_insertions": 3, "wer_reference_words": 8}
    counts |= {
        "cer": 0.5,
        "cer_substitutions": 0,
        "cer_deletions": 2,
        "cer_insertions": 0,
        "cer_reference_chars": 4,
    }
    rows = [
        {"utterance_id": "a", "wer": 0.75, "prompt_id": "p", "speaker": "s"} | counts,
        {"utterance_id": "b", "wer": 0.75, "prompt_id": None, "speaker": "s"} | counts,
        {"utterance_id": "c", "wer": 0.0} | dict.fromkeys(counts, 0),  # empty against empty
        {"utterance_id": "d", "wer": None} | dict.fromkeys(counts),
    ]
    assert scored_rows(rows) == {"a": ScoredRow(6, 8, "p"), "b": ScoredRow(6, 8, "s")}
    assert scored_rows(rows[:1], "cer") == {"a": ScoredRow(2, 4, "p")}
