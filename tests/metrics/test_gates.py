"""By hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import GatesConfig, Limits
from pipeline.errors import ConfigError
from pipeline.metrics.gates import gate, length_ratio, limits_of, reason_code

ALL = Limits(
    max_wer=0.3,
    max_cer=0.2,
    min_similarity=0.6,
    min_length_ratio=0.5,
    max_length_ratio=2.0,
    max_leading_silence_s=0.5,
    max_trailing_silence_s=1.0,
    min_speech_ratio=0.4,
)
GOOD = {
    "status": "ok",
    "language": "en",
    "wer": 0.3,
    "cer": 0.2,
    "similarity": 0.6,
    "length_ratio": 2.0,
    "leading_silence_s": 0.5,
    "trailing_silence_s": 1.0,
    "speech_ratio": 0.4,
    "finish_reason": "eos",
}


def test_the_limit_itself_passes():
    assert gate(GOOD, ALL) == gate(GOOD | {"length_ratio": 0.5}, ALL) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wer": 0.62}, "wer: 0.62 is over 0.3"),
        ({"wer": 4.0}, "wer: 4 is over 0.3"),
        ({"cer": 0.25}, "cer: 0.25 is over 0.2"),
        ({"similarity": 0.41234567}, "similarity: 0.4123 is under 0.6"),
        ({"similarity": 0.59999999}, "similarity: 0.59999999 is under 0.6"),
        ({"similarity": math.nan}, "similarity: nan is under 0.6"),
        ({"length_ratio": 0.1}, "length_ratio: 0.1 is under 0.5"),
        ({"length_ratio": 3.0}, "length_ratio: 3 is over 2"),
        ({"leading_silence_s": 0.75}, "leading_silence_s: 0.75 is over 0.5"),
        ({"trailing_silence_s": 1.5}, "trailing_silence_s: 1.5 is over 1"),
        ({"speech_ratio": 0.0}, "speech_ratio: 0 is under 0.4"),
        ({"finish_reason": "length"}, "finish_reason: length"),
        ({"failed_stage": "generate", "error_code": "quarantined", "wer": 9.0}, "failed: quarantined"),
        ({"failed_stage": "generate"}, "failed: unknown"),
    ],
)
def test_every_reason(change, reason):
    assert gate(GOOD | change, ALL) == (reason,)
    assert reason_code(reason) in {*change, "failed"}


def test_all_reasons_are_told():
    row = GOOD | {"wer": 1.0, "similarity": 0.1, "finish_reason": "length"}
    assert [reason_code(reason) for reason in gate(row, ALL)] == ["finish_reason", "wer", "similarity"]


def test_what_was_not_measured():
    row = {"status": "ok", "language": "en"}
    assert gate(row, ALL) == ()
    strict = Limits(max_wer=0.3, min_length_ratio=0.5, max_length_ratio=2.0, unscored_fails=True)
    assert gate(row, strict) == (
        "finish_reason: unknown",
        "wer: not measured",
        "length_ratio: not measured",
    )


@pytest.mark.parametrize("language", ["zh-TW", "ja", "th", "ko"])
def test_where_characters_are_the_words(language):
    row = GOOD | {"language": language, "wer": 1.0, "cer": 0.25}
    assert gate(row, Limits(max_wer=0.3)) == ()
    assert gate(row, Limits(max_wer=0.2)) == ("cer: 0.25 is over 0.2",)
    assert gate(row, Limits(max_wer=0.2, max_cer=0.3)) == ()
    assert gate(row, Limits(max_wer=0.3, max_cer=0.2)) == ("cer: 0.25 is over 0.2",)


def test_no_limits_pass_all_but_the_cut_off():
    row = {"status": "ok", "wer": 9.0, "finish_reason": "length"}
    assert gate(row, Limits()) == ("finish_reason: length",)
    assert gate(row, Limits(must_end=False)) == ()


@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("en", 0.1),
        ("EN_us", 0.1),
        ("pt-BR", 0.2),
        ("pt_br", 0.2),
        ("pt", 0.3),
        ("pt-PT", 0.3),
        ("sw", 0.9),
        (None, 0.9),
    ],
)
def test_limits_of_a_language(language, found):
    gates = GatesConfig(
        max_wer=0.9,
        languages={"en": Limits(max_wer=0.1), "pt-br": Limits(max_wer=0.2), "PT": Limits(max_wer=0.3)},
    )
    assert limits_of(gates, language).max_wer == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_wer": math.nan}, r"gates\.max_wer = nan: must be a finite"),
        ({"min_similarity": math.inf}, r"gates\.min_similarity = inf: must be a finite"),
        (
            {"min_length_ratio": 2.0, "max_length_ratio": 1.0},
            r"gates\.min_length_ratio = 2.0: must be at most",
        ),
    ],
)
def test_impossible_limits(settings, message):
    with pytest.raises(ConfigError, match=message):
        Limits(**settings)


def test_length_ratio_by_hand():
    # the prompt takes 5 s for 50 characters, so 20 should take 2 s
    assert length_ratio(3.0, 20, 5.0, 50) == pytest.approx(1.5)
    assert length_ratio(0.0, 20, 5.0, 50) == 0.0
    for absent in ((0, 5.0, 50), (20, 0.0, 50), (20, 5.0, 0)):
        assert length_ratio(3.0, *absent) is None


@given(st.floats(0, 3), st.floats(0, 3), st.floats(0, 3))
def test_a_wider_limit_never_adds_a_reason(wer, low, high):
    row = GOOD | {"wer": wer}
    narrow, wide = sorted((low, high))
    assert len(gate(row, Limits(max_wer=wide))) <= len(gate(row, Limits(max_wer=narrow)))
