from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.aggregate import summarise
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
        "normalizer": "en/1",
        **more,
    }


def failed(stage: str, code: str):
    return {"status": "failed", "failed_stage": stage, "error_code": code, "error_message": "why"}


def summary_of(*rows):
    """Through Arrow, so that what a row lacks is the null a reader of the dataset sees."""
    summary = summarise(to_table(list(rows), RESULT_ROW).to_pylist())
    return json.loads(json.dumps(summary, allow_nan=False))


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
    assert {key: summary[key] for key in ("rows", "ok", "failed", "scored", "unscored")} == {
        "rows": 7,
        "ok": 4,
        "failed": 3,
        "scored": 3,
        "unscored": 1,
    }
    assert summary["failures"] == {"generate": {"quarantined": 1}, "load_prompt": {"audio_empty": 2}}
    assert summary["unscored_reasons"] == {
        "wer": {"English only": 1},
        "cer": {"English only": 1},
        "similarity": {"unknown": 2},  # the third row, and the one nobody heard
    }
    assert summary["wer"] == {
        "rows": 3,
        "errors": 4,
        "reference_words": 24,
        "macro": pytest.approx((0.0 + 0.1 + 0.75) / 3),
        "micro": pytest.approx(4 / 24),
        "median": pytest.approx(0.1),
        # linear between the second and third of three: position 0.95 * 2 = 1.9
        "p95": pytest.approx(0.1 + 0.9 * (0.75 - 0.1)),
        "share_over_50_percent": pytest.approx(1 / 3),
    }
    assert summary["cer"]["micro"] == pytest.approx(8 / 48)
    assert summary["similarity"] == {"rows": 2, "mean": pytest.approx(0.7)}
    assert summary["audio_seconds"] == pytest.approx(7.5)
    assert summary["finish_reasons"] == {"eos": 2, "length": 2}
    assert summary["transcribers"] == {"demo:t": 3}
    assert summary["speaker_encoders"] == {"demo:s": 3}
    assert summary["normalizers"] == {"en/1": 3}
    assert summary["protocols"] == {}


@pytest.mark.parametrize("rows", [[], [failed("check", "text_empty")]])
def test_nothing_to_average_is_null(rows):
    summary = summary_of(*rows)
    assert summary["rows"] == summary["failed"] == len(rows)
    assert summary["scored"] == 0
    for name in ("macro", "micro", "median", "p95", "share_over_50_percent"):
        assert summary["wer"][name] is None
    assert summary["similarity"]["mean"] is None


def test_exactly_half_is_not_over_half():
    assert summary_of(ok(1, 2))["wer"]["share_over_50_percent"] == 0.0


def test_characters_alone_are_a_score():
    row = ok(1, 4) | {name: None for name in ok(1, 4) if name.startswith("wer")}
    summary = summary_of(row)
    assert (summary["scored"], summary["wer"]["rows"], summary["cer"]["rows"]) == (1, 0, 1)


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
        "cer": not_heard,
        "similarity": {"no voiced audio": 2, "evaluation.speaker_encoder is none": 1},
    }
    assert (summary["scored"], summary["unscored"]) == (1, 4)


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
    for metric, reasons in summary["unscored_reasons"].items():
        assert summary["ok"] == summary[metric]["rows"] + sum(reasons.values())


@given(ROWS)
def test_equal_lengths_make_macro_and_micro_equal(rows):
    for row in rows:
        if "wer" in row:
            row.update(wer_reference_words=5, wer=row["wer_substitutions"] / 5)
    summary = summary_of(*rows)["wer"]
    assert summary["macro"] == (None if summary["micro"] is None else pytest.approx(summary["micro"]))
