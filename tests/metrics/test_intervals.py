"""Expected values by hand, from numpy on rows repeated as drawn, and from scipy's intervals and bootstrap;
[ref] marks what reference/evaluation.md, section 5, has measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.metrics import intervals
from pipeline.metrics.intervals import (
    AGGREGATES,
    Interval,
    ScoredRow,
    aggregates_with_intervals,
    mean_interval,
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


def test_estimates_by_hand():
    rows = [ScoredRow(0, 10, "a"), ScoredRow(1, 10, "b"), ScoredRow(3, 4, "b")]
    looped = aggregates_with_intervals([*rows, ScoredRow(16, 4, "c")], resamples=10)
    assert looped["macro"].estimate == pytest.approx((0.85 + 4) / 4)
    assert looped["macro_clipped"].estimate == pytest.approx((0.85 + 1) / 4)
    found = {name: made.estimate for name, made in aggregates_with_intervals(rows, resamples=10).items()}
    assert found == {
        "macro": pytest.approx((0.0 + 0.1 + 0.75) / 3),
        "macro_clipped": pytest.approx((0.0 + 0.1 + 0.75) / 3),
        "micro": pytest.approx(4 / 24),
        "median": pytest.approx(0.1),
        "p95": pytest.approx(0.1 + 0.9 * (0.75 - 0.1)),
        "share_over_50_percent": pytest.approx(1 / 3),
    }


@given(ROWS, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_draw_is_its_rows_repeated(rows, times):
    rows = sorted(rows, key=lambda row: row.errors / row.units)
    voices = sorted({row.voice for row in rows})
    drawn = dict(zip(voices, times, strict=False))
    repeated = [row for row in rows for _ in range(drawn[row.voice])]
    if not repeated:
        return
    resample = intervals.Resample(
        np.array([[drawn[voice] for voice in voices]]),
        np.array([row.errors / row.units for row in rows]),
        np.array([row.errors for row in rows]),
        np.array([row.units for row in rows]),
        np.array([voices.index(row.voice) for row in rows]),
    )
    found = {name: float(aggregate(resample)[0]) for name, aggregate in AGGREGATES.items()}
    assert found == {name: pytest.approx(value) for name, value in of(repeated).items()}


def test_one_row_a_voice_is_the_plain_bootstrap():
    rows = [replace(row, voice=str(i)) for i, row in enumerate(some_rows(200, 1))]
    rates = [row.errors / row.units for row in rows]
    found = aggregates_with_intervals(rows)
    for name, statistic in (("macro", np.mean), ("p95", lambda x, axis: np.percentile(x, 95, axis=axis))):
        other = stats.bootstrap(
            (rates,), statistic, n_resamples=10_000, method="percentile", rng=np.random.default_rng(3)
        ).confidence_interval
        spread = other.high - other.low
        assert found[name].low == pytest.approx(other.low, abs=0.08 * spread)
        assert found[name].high == pytest.approx(other.high, abs=0.08 * spread)


def test_rows_of_a_voice_that_agree_are_one_row():
    single = [ScoredRow(errors, 10, str(errors)) for errors in range(8)]
    once, often = aggregates_with_intervals(single), aggregates_with_intervals(single * 5)
    # quantiles between two order statistics move with n; ratios do not
    for name in ("macro", "micro", "share_over_50_percent"):
        assert (once[name].low, once[name].high) == pytest.approx((often[name].low, often[name].high))


@settings(max_examples=20)
@given(ROWS, st.randoms())
def test_order_does_not_matter_and_the_estimate_is_inside(rows, random):
    found = aggregates_with_intervals(rows, resamples=200)
    random.shuffle(rows)
    assert aggregates_with_intervals(rows, resamples=200) == found
    if len({row.voice for row in rows}) < 2:
        assert all(made.low is made.high is None for made in found.values())
    else:
        assert all(made.low <= made.high for made in found.values())


def test_pieces_and_seed(monkeypatch):
    rows = some_rows(30, 7)
    whole = aggregates_with_intervals(rows, resamples=501)
    assert aggregates_with_intervals(rows, resamples=501, seed=1) != whole
    monkeypatch.setattr(intervals, "_CELLS", 30 * 13)
    for name, made in aggregates_with_intervals(rows, resamples=501).items():
        assert (made.low, made.high) == pytest.approx((whole[name].low, whole[name].high))


def test_nothing_and_impossible():
    assert set(aggregates_with_intervals([]).values()) == {Interval(None, None, None)}
    with pytest.raises(ValueError, match="empty reference"):
        aggregates_with_intervals([ScoredRow(1, 0, "a")])


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


def test_mean_interval_is_macros():
    rows = some_rows(50, 9)
    macro = aggregates_with_intervals(rows)["macro"]
    made = mean_interval([row.errors / row.units for row in rows], [row.voice for row in rows])
    assert (made.estimate, made.low, made.high) == pytest.approx(
        (macro.estimate, macro.low, macro.high), rel=0.03
    )
    assert mean_interval([], []) == Interval(None, None, None)
    assert mean_interval([0.0, 1.0], ["a", "a"]) == Interval(0.5, None, None)


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
