"""Expected values by hand, from numpy on rows repeated as drawn, and from scipy's intervals and bootstrap;
[ref] marks what was measured apart from this code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.metrics.intervals import (
    SHARE,
    Interval,
    ScoredRow,
    mean_interval,
    scored_rows,
    voice_block,
    wilson,
)


def of_voices(random, voices: int) -> tuple[list[float], list[str]]:
    """Four rows of each voice, which differ from voice to voice as much as inside one. Their true mean is 0."""
    values = random.normal(size=(voices, 1)) + random.normal(size=(voices, 4))
    return values.ravel().tolist(), [str(voice) for voice in range(voices) for _ in range(4)]


@pytest.mark.parametrize("voices", [2, 3, 4, 5, 6, 8, 12, 20])
def test_one_in_twenty_intervals_misses_the_truth_however_few_the_voices(voices):
    random = np.random.default_rng(5)
    missed = 0
    for _ in range(1000):
        made = mean_interval(*of_voices(random, voices), resamples=400)
        missed += not made.low <= 0.0 <= made.high
        assert made.voices == voices
    # three standard deviations of a share of 5 % in a thousand, and the two points that two voices miss by
    assert 0.03 < missed / 1000 < (0.09 if voices == 2 else 0.07)


def test_the_interval_of_many_voices_is_student_s():
    values, names = of_voices(np.random.default_rng(6), 60)
    made = mean_interval(values, names)
    means = np.reshape(values, (60, 4)).mean(axis=1)
    theirs = stats.t.interval(0.95, 59, means.mean(), means.std(ddof=1) / np.sqrt(60))
    assert (made.low, made.high) == pytest.approx(theirs, abs=0.05 * (theirs[1] - theirs[0]))


def test_the_interval_of_a_share_is_inside_0_and_1():
    made = mean_interval([0.0, 1.0, 1.0], ["a", "b", "c"], within=SHARE)
    assert made == Interval(pytest.approx(2 / 3), 0.0, 1.0, 3)
    assert mean_interval([], []) == Interval(None, None, None, 0)
    assert mean_interval([1.0], ["a"]) == Interval(1.0, None, None, 1)


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
        {"utterance_id": "a", "wer": 0.75, "prompt_audio": "p", "speaker": "s"} | counts,
        {"utterance_id": "b", "wer": 0.75, "prompt_audio": None, "speaker": "s"} | counts,
        {"utterance_id": "c", "wer": 0.0} | dict.fromkeys(counts, 0),  # empty against empty
        {"utterance_id": "d", "wer": None} | dict.fromkeys(counts),
    ]
    assert scored_rows(rows) == {"a": ScoredRow(6, 8, "p"), "b": ScoredRow(6, 8, "s")}
    assert scored_rows(rows[:1], "cer") == {"a": ScoredRow(2, 4, "p")}


def test_a_recording_is_one_voice_in_every_language_and_where_it_failed():
    row = {"prompt_audio": "ann.flac", "prompt_id": "of English", "speaker": "Ann"}
    german, failed = row | {"prompt_id": "of German"}, row | {"prompt_id": None}
    assert voice_block(row) == voice_block(german) == voice_block(failed) == "ann.flac"
    assert voice_block({"prompt_audio": None, "speaker": "Ann"}) == "Ann"
    assert voice_block({}) == ""
