"""By hand."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import ConfigError
from pipeline.metrics.intervals import mean_interval
from pipeline.metrics.protocol_run import compare_similarity, evaluate, score_rows
from pipeline.metrics.protocols import PROTOCOLS
from pipeline.metrics.published import HeardBy

SEED = PROTOCOLS["seed-tts-eval/en"]
DEMO = HeardBy("demo:pocketsphinx-5.1.1/en-us", "demo:resemblyzer-0.1.4")


def row(number, text="one two three four", heard=None, **values):
    return {
        "utterance_id": f"u{number}",
        "status": "ok",
        "language": "en-GB",
        "target_text": text,
        "hypothesis": heard,
        "similarity": None,
        "unscored_reason": None,
        "error_code": None,
        "prompt_audio": f"voice-{number % 2}",
        "speaker": None,
        **values,
    }


def test_missing_rows_are_failures_and_the_other_way_is_beside_it():
    rows = [
        row(0, heard="one two three four", similarity=0.9),
        row(1, heard="one two three", similarity=0.5),
        row(2, status="failed", error_code="quarantined"),
        row(3, heard="one two three four", similarity=0.8, status="rejected"),
        row(4, unscored_reason="only English", similarity=0.7),
        row(5, text="?!", heard="hm", similarity=0.7),
    ]
    account = json.loads(json.dumps(evaluate(rows, SEED, DEMO, resamples=100), allow_nan=False))
    assert (account["rows"], account["missing"], account["empty_references"]) == (6, 3, 1)
    assert account["missing_reasons"] == {
        "failed: quarantined": 1,
        "no transcript: only English": 1,
        "rejected by its gates": 1,
    }
    assert account["wer"]["value"] == pytest.approx((0 + 0.25 + 1 + 1 + 1) / 5)
    assert account["wer"]["value_skipping"] == pytest.approx((0 + 0.25) / 2)
    assert account["similarity"]["value"] == pytest.approx((0.9 + 0.5 + 0 + 0 + 0.7 + 0.7) / 6)
    assert account["similarity"]["value_skipping"] == pytest.approx((0.9 + 0.5 + 0.7 + 0.7) / 4)
    assert account["similarity"]["missing"] == 2
    theirs = mean_interval([0, 0.25, 1, 1, 1], ["0", "1", "0", "1", "0"], resamples=100)
    assert account["wer"]["interval"] == pytest.approx([theirs.low, theirs.high])
    assert (account["wer"]["rows"], account["wer"]["rows_skipping"]) == (5, 2)
    assert (account["similarity"]["rows"], account["similarity"]["rows_skipping"]) == (6, 4)
    assert account["wer"]["voices"] == account["wer"]["voices_skipping"] == 2


def test_the_protocol_says_how_rates_become_one():
    rows = [row(0, "واحد", "واحد", language="ar"), row(1, "واحد اثنان ثلاثة", "واحد", language="ar")]
    account = evaluate(rows, PROTOCOLS["ar_leaderboard/ar"], DEMO, resamples=10)
    assert account["wer"]["value"] == pytest.approx(2 / 4)  # micro: 2 errors in 4 words, not (0 + 2/3) / 2


def test_where_nobody_compared_voices_there_is_no_similarity():
    assert evaluate([row(0, heard="x")], SEED, HeardBy("demo:e-1", "none"))["similarity"] is None


def test_a_row_of_another_language_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"row 'u1' is in zh, seed-tts-eval/en is for en"):
        evaluate([row(0), row(1, language="zh")], SEED, DEMO)


def test_scores_for_pairing():
    scored = score_rows([row(0, heard="one two"), row(1, status="failed"), row(2, text="-", heard="")], SEED)
    assert {name: (one.errors, one.units) for name, one in scored.items()} == {"u0": (2, 4), "u1": (4, 4)}


def test_similarities_pair_by_pair():
    a = [row(0, similarity=0.5), row(1, similarity=0.9), row(2, similarity=0.1)]
    b = [row(1, similarity=0.7, status="rejected"), row(0, similarity=0.6), row(9, similarity=1.0)]
    assert compare_similarity(a, b, resamples=10).estimate == pytest.approx((0.1 - 0.9) / 2)
    assert compare_similarity(a, [], resamples=10).estimate is None
