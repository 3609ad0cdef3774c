from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_by_row import intervals

from pipeline.metrics.aggregate import summarise
from pipeline.metrics.breakdown import CATEGORIES, OTHERS
from pipeline.metrics.intervals import mean_interval
from pipeline.records import RESULT_ROW, to_table


def ok(errors: int, words: int, **more):
    """A scored row: `errors` substitutions in `words` words, twice as many of each in characters."""
    return {
        "status": "ok",
        "finish_reason": "eos",
        "duration_s": 2.0,
        "wer": errors / words,
        "wer_substitutions": errors,
        "wer_deletions": 0,
        "wer_insertions": 0,
        "wer_reference_words": words,
        "cer": errors / words,
        "cer_substitutions": 0,
        "cer_deletions": errors,
        "cer_insertions": errors,
        "cer_reference_chars": 2 * words,
        "transcriber": "demo:t",
        "speaker_encoder": "demo:s",
        "normalizer": "en/2",
        **more,
    }


def failed(stage: str, code: str, **more):
    return {"status": "failed", "failed_stage": stage, "error_code": code, "error_message": "why", **more}


def summary_of(*rows, resamples=50):
    """Through Arrow, so that what a row lacks is the null a reader of the dataset sees."""
    summary = summarise(to_table(list(rows), RESULT_ROW).to_pylist(), resamples=resamples)
    return json.loads(json.dumps(summary, allow_nan=False))


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


def chinese(errors: int, chars: int, **more):
    """A row judged by characters; its WER, of one long word, is 1 or 0."""
    return ok(errors, chars, **more) | {
        "wer": float(errors > 0),
        "wer_reference_words": 1,
        "cer": errors / chars,
        "cer_deletions": errors,
        "cer_insertions": 0,
        "cer_reference_chars": chars,
        "normalizer": "zh/1",
        "language": "zh",
    }


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


def test_categories_by_hand():
    lost = failed("generate", "quarantined", target_text="four words were asked", category="numbers")
    summary = summary_of(
        ok(1, 10, category="questions", similarity=0.5),
        ok(3, 10, category="questions", similarity=0.75),
        ok(0, 4, category="numbers"),
        lost,
        chinese(1, 20, category="numbers"),
        ok(5, 10),
    )
    assert set(summary["by_category"]) == {"word", "char"}
    words = summary["by_category"]["word"]
    assert list(words) == ["", "numbers", "questions"]
    assert (words["questions"]["rows"], words["questions"]["macro"]) == (2, pytest.approx(0.2))
    assert words["questions"]["similarity"] == pytest.approx(0.625)
    assert (words["numbers"]["rows"], words["numbers"]["macro"]) == (1, 0.0)
    assert (words["numbers"]["rows_with_failures"], words["numbers"]["micro_with_failures"]) == (2, 0.5)
    assert words[""]["macro"] == 0.5
    chars = summary["by_category"]["char"]
    assert {name: entry["macro"] for name, entry in chars.items()} == {"numbers": pytest.approx(0.05)}
    assert summary_of(ok(1, 10, category="alone"))["by_category"] == {}


def test_a_manifest_that_has_an_id_for_a_category_does_not_swell_the_summary():
    words = summary_of(*(ok(i % 2, 10, category=f"c{i}") for i in range(CATEGORIES + 7)))["by_category"][
        "word"
    ]
    assert len(words) == CATEGORIES + 1
    assert words[OTHERS]["rows"] == 7
    assert words["c99"]["rows"] == 1


def test_the_worst_voices_come_first():
    rows = [ok(i, 10, prompt_id=f"id-{i}", prompt_audio=f"s3://b/voice-{i}.flac") for i in range(10)]
    ann = {"prompt_audio": "https://user:secret@host/ann.flac", "speaker": "Ann"}
    rows += [ok(1, 10, prompt_id="named", **ann), failed("g", "c", **ann)]
    rows += [failed("check_prompt", "uri_not_found", prompt_audio="gone.wav")]
    worst = summary_of(*rows)["worst_voices"]["word"]
    assert [entry["name"] for entry in worst[:4]] == ["gone", "voice-9", "voice-8", "voice-7"]
    assert worst[0] == {
        "voice": "gone.wav",
        "name": "gone",
        "rows": 0,
        "macro": None,
        "micro": None,
        "rows_with_failures": 1,
        "macro_with_failures": 1.0,
        "micro_with_failures": 1.0,
        "similarity": None,
    }
    ann = next(entry for entry in worst if entry["name"] == "Ann")
    assert ann["voice"] == "https://host/ann.flac"
    assert (ann["macro"], ann["macro_with_failures"]) == (pytest.approx(0.1), pytest.approx(0.55))
    assert len(worst) == 10
    assert summary_of(ok(1, 10, prompt_audio="alone"))["worst_voices"] == {}
    assert summary_of(ok(1, 10), ok(2, 10))["by_language"] == {}


def test_where_nobody_listened_failures_make_no_rate():
    lost = {"target_text": "eins zwei", "language": "de", "category": "numbers", "prompt_audio": "b"}
    deaf = {"status": "ok", "language": "de", "category": "numbers", "prompt_audio": "b", "speaker": "Ben"}
    summary = summary_of(
        ok(1, 10, language="en", category="questions", prompt_audio="a"),
        failed("g", "c", language="en", category="questions", prompt_audio="a", target_text="one two"),
        deaf,
        failed("g", "c", **lost),
        failed("g", "c", **lost),
    )
    german, english = summary["by_language"]["de"], summary["by_language"]["en"]
    nothing = {"rows": 0, "macro": None, "micro": None, "similarity": None}
    nothing |= {"rows_with_failures": 0, "macro_with_failures": None, "micro_with_failures": None}
    assert german == nothing | {"unit": "word"}
    assert english["macro_with_failures"] == pytest.approx((0.1 + 1.0) / 2)
    assert summary["by_category"]["word"]["numbers"] == nothing
    assert [entry["voice"] for entry in summary["worst_voices"]["word"]] == ["a"]
    # where none was accepted, that is what there is to say
    only = summary_of(ok(1, 10, language="en"), failed("g", "c", **lost))["by_language"]["de"]
    assert (only["rows"], only["macro_with_failures"]) == (0, 1.0)


@given(st.permutations(range(12)))
def test_the_order_of_the_rows_changes_nothing(order):
    rows = [
        ok(i % 5, 4 + i % 3, prompt_audio=f"v{i % 5}", similarity=i / 12, language=("en", "de")[i % 2])
        | ({"speaker": f"s{i % 4}"} if i % 3 else {})
        for i in range(11)
    ]
    rows.append(failed("g", "c", prompt_audio="v1", target_text="one two"))
    summary, other = summary_of(*rows), summary_of(*(rows[i] for i in order))
    assert flat(other) == pytest.approx(flat(summary))


def flat(value, name=""):
    """Every number and text by its path."""
    if not isinstance(value, (dict, list)):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {at: one for key, each in items for at, one in flat(each, f"{name}/{key}").items()}


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
