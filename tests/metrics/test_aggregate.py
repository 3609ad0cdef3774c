from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rows import chinese, failed, ok, summary_of
from row_by_row import intervals

from pipeline.metrics.intervals import mean_interval


def aggregates(summary):
    return {name: value for name, value in summary.items() if name not in ("intervals", "with_failures")}


def test_ground_truths_by_hand():
    truth = {"ground_truth_audio": "said.flac"}
    reason = "English only; similarity: silent; ground truth: no speaker embedding of it"
    summary = summary_of(
        ok(0, 10, similarity=0.5, similarity_ground_truth=0.75, **truth),
        ok(0, 10, similarity=0.5, similarity_ground_truth=0.25, prompt_audio="q", **truth),
        ok(0, 10, similarity=0.5),
        ok(0, 10, unscored_reason=reason, wer=None, cer=None, **truth),
        failed("load_prompt", "audio_empty", **truth),
        failed("load_prompt", "audio_empty"),
    )
    found = summary["similarity_ground_truth"]
    assert (found["rows"], found["mean"]) == (2, 0.5)
    # one failed row names a ground truth: nothing alike; the row without one is no part of it
    assert (found["with_failures"]["rows"], found["with_failures"]["mean"]) == (3, pytest.approx(1.0 / 3))
    assert summary["similarity"]["rows"] == 3
    assert summary["unscored_reasons"]["wer"] == {"English only": 1}
    assert summary["unscored_reasons"]["similarity"] == {"silent": 1}
    assert summary["unscored_reasons"]["similarity_ground_truth"] == {"no speaker embedding of it": 1}


def test_by_hand():
    unheard = {
        "status": "ok",
        "finish_reason": "length",
        "duration_s": 1.5,
        "unscored_reason": "English only",
    }
    summary = summary_of(
        ok(0, 10, similarity=0.5),
        ok(1, 10, similarity=0.9),
        ok(3, 4, finish_reason="length"),
        unheard,
        failed("load_prompt", "audio_empty"),
        failed("load_prompt", "audio_empty"),
        failed("generate", "quarantined"),
    )
    assert {key: summary[key] for key in ("rows", "ok", "rejected", "failed", "scored", "unscored")} == {
        "rows": 7,
        "ok": 4,
        "rejected": 0,
        "failed": 3,
        "scored": 3,
        "unscored": 1,
    }
    assert summary["failures"] == {"generate": {"quarantined": 1}, "load_prompt": {"audio_empty": 2}}
    assert summary["unscored_reasons"] == {
        "wer": {"English only": 1},
        "cer": {},  # no row is judged by characters
        "similarity": {"unknown": 2},  # the third row, and the one nobody heard
        "similarity_ground_truth": {},  # no row names one
    }
    assert aggregates(summary["wer"]) == {
        "rows": 3,
        "voices": 1,
        "errors": 4,
        "reference_words": 24,
        "macro": pytest.approx((0.0 + 0.1 + 0.75) / 3),
        "macro_clipped": pytest.approx((0.0 + 0.1 + 0.75) / 3),
        "micro": pytest.approx(4 / 24),
        "median": pytest.approx(0.1),
        # linear between the second and third of three: position 0.95 * 2 = 1.9
        "p95": pytest.approx(0.1 + 0.9 * (0.75 - 0.1)),
        "share_over_50_percent": pytest.approx(1 / 3),
    }
    assert summary["cer_of_word_rows"]["micro"] == pytest.approx(8 / 48)
    assert summary["cer"]["rows"] == 0
    # one voice: no interval
    assert set(summary["wer"]["intervals"].values()) == {None}
    assert aggregates(summary["similarity"]) == {
        "rows": 2,
        "voices": 1,
        "mean": pytest.approx(0.7),
        "interval": None,
    }
    # three failed rows of no known text: a rate of 1 in one word, and nothing alike
    assert aggregates(summary["wer"]["with_failures"]) == {
        "rows": 6,
        "voices": 1,
        "errors": 7,
        "reference_words": 27,
        "macro": pytest.approx((0.0 + 0.1 + 0.75 + 3) / 6),
        "macro_clipped": pytest.approx((0.0 + 0.1 + 0.75 + 3) / 6),
        "micro": pytest.approx(7 / 27),
        "median": pytest.approx(0.875),
        "p95": 1.0,
        "share_over_50_percent": pytest.approx(4 / 6),
    }
    assert summary["similarity"]["with_failures"]["mean"] == pytest.approx(1.4 / 5)
    assert summary["audio_seconds"] == pytest.approx(7.5)
    assert summary["finish_reasons"] == {"eos": 2, "length": 2}
    assert summary["transcribers"] == {"demo:t": 3}
    assert summary["speaker_encoders"] == {"demo:s": 3}
    assert summary["normalizers"] == {"en/2": 3}
    assert summary["protocols"] == {}


@pytest.mark.parametrize("rows", [[], [failed("check", "text_empty")]])
def test_nothing_to_average_is_null(rows):
    summary = summary_of(*rows)
    assert summary["rows"] == summary["failed"] == len(rows)
    assert summary["scored"] == 0
    for name in ("macro", "micro", "median", "p95", "share_over_50_percent"):
        assert summary["wer"][name] is None
    assert summary["similarity"]["mean"] is None


def test_a_loop_does_not_hide_the_other_rows_in_the_clipped_mean():
    summary = summary_of(ok(40, 10), ok(0, 10))["wer"]
    assert (summary["macro"], summary["macro_clipped"]) == (2.0, 0.5)


def test_exactly_half_is_not_over_half():
    assert summary_of(ok(1, 2))["wer"]["share_over_50_percent"] == 0.0


def test_characters_alone_are_a_score():
    row = ok(1, 4) | {name: None for name in ok(1, 4) if name.startswith("wer")}
    summary = summary_of(row)
    assert (summary["scored"], summary["wer"]["rows"], summary["cer_of_word_rows"]["rows"]) == (1, 0, 1)


def test_why_a_metric_is_missing():
    heard, silent = "only English is heard", "similarity: no voiced audio"
    summary = summary_of(
        ok(0, 1, unscored_reason=silent),
        {"status": "ok", "unscored_reason": f"{heard}; {silent}"},
        {"status": "ok", "unscored_reason": heard, "similarity": 0.5},
        {"status": "ok", "hypothesis": "something", "similarity": 0.5},
        {"status": "ok", "transcriber": "none", "speaker_encoder": "none"},
    )
    not_heard = {
        heard: 2,
        "the normalised text is empty": 1,
        "evaluation.transcriber is none": 1,
    }
    assert summary["unscored_reasons"] == {
        "wer": not_heard,
        "cer": {},
        "similarity": {"no voiced audio": 2, "evaluation.speaker_encoder is none": 1},
        "similarity_ground_truth": {},
    }
    assert (summary["scored"], summary["unscored"]) == (1, 4)


def test_words_and_characters_are_never_averaged_together():
    summary = summary_of(
        ok(1, 10, language="en"), ok(3, 10, language="en"), chinese(1, 20), {"status": "ok", "language": "ja"}
    )
    assert summary["wer"]["macro"] == pytest.approx(0.2)
    assert (summary["cer"]["rows"], summary["cer"]["macro"]) == (1, pytest.approx(0.05))
    assert summary["cer_of_word_rows"]["rows"] == 2
    assert summary["unscored_reasons"]["cer"] == {"unknown": 1}
    assert summary["unscored_reasons"]["wer"] == {}
    assert {name: entry["unit"] for name, entry in summary["by_language"].items()} == {
        "en": "word",
        "ja": "char",  # nobody has heard it
        "zh": "char",
    }
    assert summary["by_language"]["en"]["macro"] == pytest.approx(0.2)
    assert summary["by_language"]["zh"]["macro"] == pytest.approx(0.05)


def test_failures_are_counted_both_ways():
    lost = failed("generate", "quarantined", target_text="four words were asked", language="en")
    summary = summary_of(ok(0, 4, similarity=0.8), lost)
    assert (summary["wer"]["macro"], summary["wer"]["micro"]) == (0.0, 0.0)
    both = summary["wer"]["with_failures"]
    assert (both["rows"], both["macro"], both["micro"]) == (2, 0.5, 0.5)
    assert summary["similarity"]["mean"] == pytest.approx(0.8)
    assert summary["similarity"]["with_failures"]["mean"] == pytest.approx(0.4)
    # without spaces: five characters of Chinese
    gone = failed("generate", "quarantined", target_text="你好， 世界人", language="zh")
    assert summary_of(chinese(0, 5), gone)["cer"]["with_failures"]["micro"] == 0.5


def test_a_rejected_row_counts_by_its_best_take_and_only_with_failures():
    rejected = ok(2, 4, similarity=0.2, status="rejected")
    summary = summary_of(ok(0, 4, similarity=0.8), rejected, {"status": "rejected", "target_text": "one two"})
    assert (summary["ok"], summary["rejected"], summary["failed"]) == (1, 2, 0)
    assert summary["failures"] == {}
    assert (summary["wer"]["rows"], summary["wer"]["macro"]) == (1, 0.0)
    both = summary["wer"]["with_failures"]
    assert (both["macro"], both["micro"]) == (pytest.approx((0 + 0.5 + 1) / 3), pytest.approx(4 / 10))
    assert summary["similarity"]["with_failures"]["mean"] == pytest.approx(1.0 / 3)
    assert summary["audio_seconds"] == 2.0


def test_failures_alone_make_no_rate_where_nobody_listened():
    silent = {"status": "ok", "transcriber": "none", "speaker_encoder": "none"}
    summary = summary_of(silent, failed("generate", "quarantined"))
    for name in ("wer", "similarity"):
        assert summary[name]["with_failures"]["rows"] == 0


def test_intervals_draw_whole_voices():
    rows = [
        ok(i % 4, 5 + i % 7, prompt_audio=f"v{i % 9}", utterance_id=f"u{i}", similarity=(i % 10) / 10)
        for i in range(80)
    ]
    summary = summary_of(*rows, resamples=400)
    counts = [(row["wer_substitutions"], row["wer_reference_words"], row["prompt_audio"]) for row in rows]
    for name, ends in intervals(counts, resamples=400).items():
        assert summary["wer"]["intervals"][name] == pytest.approx(list(ends))
    assert summary["wer"]["voices"] == summary["similarity"]["voices"] == 9
    alike = mean_interval(
        [row["similarity"] for row in rows], [row["prompt_audio"] for row in rows], resamples=400
    )
    assert summary["similarity"]["interval"] == pytest.approx([alike.low, alike.high])


ROWS = st.lists(
    st.one_of(
        st.builds(ok, st.integers(0, 9), st.integers(1, 9)),
        st.builds(failed, st.sampled_from(["check", "score"]), st.sampled_from(["a", "b"])),
        st.just({"status": "ok", "duration_s": 1.0, "unscored_reason": "silent"}),
    ),
    max_size=12,
)


@given(ROWS)
def test_every_row_is_counted_once(rows):
    summary = summary_of(*rows)
    assert summary["rows"] == len(rows) == summary["ok"] + summary["failed"]
    assert summary["failed"] == sum(sum(codes.values()) for codes in summary["failures"].values())
    assert summary["ok"] == summary["scored"] + summary["unscored"]
    assert summary["unscored_reasons"]["cer"] == {}
    for metric in ("wer", "similarity"):
        reasons = summary["unscored_reasons"][metric]
        assert summary["ok"] == summary[metric]["rows"] + sum(reasons.values())


@given(ROWS)
def test_equal_lengths_make_macro_and_micro_equal(rows):
    for row in rows:
        if "wer" in row:
            row.update(wer_reference_words=5, wer=row["wer_substitutions"] / 5)
    summary = summary_of(*rows)["wer"]
    assert summary["macro"] == (None if summary["micro"] is None else pytest.approx(summary["micro"]))
