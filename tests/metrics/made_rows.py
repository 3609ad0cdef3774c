"""Rows of a run by their counts, and the summary of some."""

from __future__ import annotations

import json

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
        "normalizer": "en/2",
        **more,
    }


def failed(stage: str, code: str, **more):
    return {"status": "failed", "failed_stage": stage, "error_code": code, "error_message": "why", **more}


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


def summary_of(*rows, resamples=50):
    """Through Arrow, so that what a row lacks is the null a reader of the dataset sees."""
    summary = summarise(to_table(list(rows), RESULT_ROW).to_pylist(), resamples=resamples)
    return json.loads(json.dumps(summary, allow_nan=False))
