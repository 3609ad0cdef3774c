"""Cases marked [ref] have their numbers from the projects' own scripts; the others are by hand, or from a second implementation written here on jiwer alone."""

from __future__ import annotations

import string
from dataclasses import replace

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.metrics.ledger import ledger
from pipeline.metrics.protocol_normalizers import PROTOCOL_NORMALIZERS, whisper_english
from pipeline.metrics.protocols import PROTOCOLS, aggregated, protocol_named, score_under, sharing_asr

TEXTS = st.text("abAB '’,-—。！好界7", max_size=14)


@pytest.mark.parametrize(
    ("protocol", "reference", "hypothesis", "rate"),
    [
        ("seed-tts-eval/en", "The boy's toys here", "the boys toys here", 0.25),  # [ref]
        ("f5/en", "The boy's toys here", "the boys toys here", 0.0),  # [ref]
        ("seed-tts-eval/en", "Don’t go", "Don't go", 0.5),  # [ref]
        ("f5/en", "Don’t go", "Don't go", 0.0),
        ("seed-tts-eval/en", "I have 50 ways", "I have fifty ways", 0.25),  # [ref]
        ("f5/en", "I have 50 ways", "I have fifty ways", 0.25),  # [ref]
        ("seed-tts-eval/en", "a well-known way", "a well known way", 2 / 3),  # [ref]
        ("f5/en", "a well-known way", "a well known way", 2 / 3),  # [ref]
        ("seed-tts-eval/zh", "打开APP看一下", "打开app看一下", 0.375),  # [ref]
        ("cv3/zh", "打开APP看一下", "打开app看一下", 0.375),
        ("cv3/en", "The boy's toys here", "the boys toys here", 0.25),
        ("cv3/ja", "ガラスのペン。", "カラスのペン", 1 / 6),  # one kana of six; dakuten are kept
        ("cv3/de", "Ja, ÄPFEL!", "ja äpfel", 0.0),
        ("seed-tts-eval/zh", "你好，世界。", "你好 世界", 0.0),  # a space is no character
        ("seed-tts-eval/zh", "说'你'好", "说你好", 2 / 5),  # the ASCII apostrophe stays a character
        ("f5/zh", "说'你'好", "说你好", 0.0),
        ("demo/en", "Don’t go, 50 well-known boys", "don't go fifty well known boys", 0.0),
        ("whisper-normalised/en", "I have 50 ways", "I have fifty ways", 0.0),
        ("ar_leaderboard/ar", "السَّلامُ عليكم", "السلام عليكم", 0.0),
        ("ar_leaderboard/ar", "مدرسة كبيرة", "مدرسه كبيره", 1.0),
        ("ar_loose/ar", "مدرسة كبيرة", "مدرسه كبيره", 0.0),
    ],
)
def test_cases(protocol, reference, hypothesis, rate):
    assert score_under(reference, hypothesis, PROTOCOLS[protocol]).rate == pytest.approx(rate)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_edges_of_every_protocol(name):
    protocol = PROTOCOLS[name]
    assert score_under("hello there", "", protocol).rate == 1.0
    assert score_under("", "", protocol).rate == 0.0
    assert score_under("!?", "hello", protocol).rate is None
    assert score_under("hello", "hello " * 5, protocol).rate == 4.0


def test_whisper_english_is_a_secondary_view():
    # [ref] section 2
    assert PROTOCOL_NORMALIZERS["whisper_en"]("5 o'clock, $3.50, twenty-one") == "50 clock $3.5021"
    spelled = whisper_english({"colour": "color"})
    assert spelled("Colour") == "color"
    assert PROTOCOL_NORMALIZERS["whisper_en"]("Colour") == "colour"
    assert spelled.id != whisper_english({"grey": "gray"}).id != PROTOCOL_NORMALIZERS["whisper_en"].id


@pytest.mark.parametrize("name", ["seed_en", "f5_en", "seed_zh", "f5_zh", "cv3_chars"])
@pytest.mark.parametrize("char", "。，！？、：；“”‘’（）《》…—·　")
def test_chinese_punctuation_goes(name, char):
    assert PROTOCOL_NORMALIZERS[name](f"a{char}b") == "ab"


@pytest.mark.parametrize("char", "،؟؛«»")  # [ref] zhon lacks them
def test_what_zhon_lacks_stays(char):
    assert PROTOCOL_NORMALIZERS["seed_en"](f"a{char}b") == f"a{char}b"


def test_two_spaces_become_one_once():
    assert PROTOCOL_NORMALIZERS["seed_en"]("a - b   c") == "a b  c"


def by_jiwer(text: str, *, apostrophes: bool, words: bool) -> str:
    """The recipe of Seed-TTS Eval as a filter over the alphabet of `TEXTS`."""
    deleted = {*string.punctuation, *"’—。！"} - ({"'"} if apostrophes else set())
    kept = "".join(char for char in text if char not in deleted)
    return kept.lower() if words else " ".join(kept)


@given(TEXTS, TEXTS)
@pytest.mark.parametrize(
    ("name", "apostrophes", "words"),
    [
        ("seed-tts-eval/en", True, True),
        ("seed-tts-eval/zh", True, False),
        ("f5/en", False, True),
        ("f5/zh", False, False),
        ("cv3/fr", True, True),
        ("cv3/ko", True, False),
    ],
)
def test_against_jiwer(name, apostrophes, words, reference, hypothesis):
    said, heard = (by_jiwer(t, apostrophes=apostrophes, words=words) for t in (reference, hypothesis))
    score = score_under(reference, hypothesis, PROTOCOLS[name])
    if said.split():
        assert score.rate == pytest.approx(jiwer.wer(said, heard))
    else:
        assert score.rate == (None if heard.split() else 0.0)


@pytest.mark.parametrize(
    ("name", "language", "found"),
    [
        ("f5/zh", None, "f5/zh"),
        ("seed-tts-eval", "en-GB", "seed-tts-eval/en"),
        ("cv3", "JA", "cv3/ja"),
        ("ar_loose", None, "ar_loose/ar"),
        ("demo", "en", "demo/en"),
    ],
)
def test_lookup(name, language, found):
    assert protocol_named(name, language) is PROTOCOLS[found]


@pytest.mark.parametrize(
    ("name", "language", "message"),
    [
        ("librispeech", "en", r"librispeech: no such scoring protocol; .*: ar_leaderboard, ar_loose, cv3"),
        ("f5", "ar", "f5: this scoring protocol is not defined for ar; it has: en, zh"),
        ("f5", None, "f5: this scoring protocol needs a language; it has: en, zh"),
    ],
)
def test_unknown_protocols_are_said(name, language, message):
    with pytest.raises(ConfigError, match=message):
        protocol_named(name, language)


def test_how_an_asr_decodes_in_one_line():
    assert (
        PROTOCOLS["f5/en"].asr.decoding == "engine=faster-whisper; resampler=pyav; language=en; beam_size=5"
    )
    assert PROTOCOLS["f5/zh"].asr.decoding == (
        "engine=funasr; resampler=funasr; vad=none; punctuation=none; after=zhconv:zh-cn"
    )


def test_who_shares_a_transcript():
    def shared(name: str) -> set[str]:
        return {protocol.name for protocol in sharing_asr(PROTOCOLS[name])}

    assert shared("seed-tts-eval/en") == {"seed-tts-eval/en", "whisper-normalised/en"}
    assert shared("f5/zh") == {"seed-tts-eval/zh", "f5/zh", "cv3/zh"}
    assert shared("ar_loose/ar") == {"ar_leaderboard/ar", "ar_loose/ar"}
    assert shared("f5/en") == {"f5/en"}  # another engine, beam and dtype than Seed-TTS Eval


def test_ledger_by_hand():
    pairs = [("the boy's toys here", "the boys toys here"), ("one two", "one two")]
    seed, f5 = PROTOCOLS["seed-tts-eval/en"], PROTOCOLS["f5/en"]
    first, second = ledger(pairs, seed, [f5])
    assert (first.protocol, first.rate, first.costs) == (seed.name, 0.125, ())
    assert (second.protocol, second.rate, second.text_rules_only) == (f5.name, 0.0, True)
    (cost,) = second.costs
    assert (cost.what, cost.before, cost.after) == ("text rules", "seed_en/1", "f5_en/1")
    assert (cost.points, cost.changed_rows) == (-12.5, 1)


@pytest.mark.parametrize("aggregate", ["macro", "micro"])
def test_what_has_nothing_to_say_is_in_no_mean(aggregate):
    seed = PROTOCOLS["seed-tts-eval/en"]
    scores = [score_under(*pair, seed) for pair in (("one two", "one"), ("?!", ""), ("...", "hm"))]
    assert aggregated(scores, aggregate) == 0.5
    assert aggregated(scores[1:], aggregate) is None


def test_ledger_takes_every_difference_alone():
    pairs = [("a b c d", "a b c x"), ("well-known", "well known")]
    seed = PROTOCOLS["seed-tts-eval/en"]
    other = replace(seed, name="mine", normalizer=PROTOCOL_NORMALIZERS["en"], unit="char", aggregate="micro")
    line = ledger(pairs, seed, [other])[1]
    # macro words under Seed (1/4 + 2/1)/2; our rules (1/4 + 0)/2; characters the same; micro 1/(4+9)
    assert [cost.points for cost in line.costs] == pytest.approx([-100.0, 0.0, 100 * (1 / 13 - 0.125)])
    assert [cost.what for cost in line.costs] == ["text rules", "unit", "aggregate"]
    assert [cost.changed_rows for cost in line.costs] == [1, 0, 0]


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_costs_add_up(pairs):
    base, *others = ledger(pairs, PROTOCOLS["seed-tts-eval/zh"])
    for line in others:
        assert line.text_rules_only is False
        if base.rate is not None and line.rate is not None:
            paid = sum(cost.points for cost in line.costs if cost.points is not None)
            assert paid == pytest.approx(100 * (line.rate - base.rate))


def test_ledger_refuses_another_language():
    with pytest.raises(ConfigError, match="f5/zh: its language is not that of f5/en; leave it out"):
        ledger([], PROTOCOLS["f5/en"], [PROTOCOLS["f5/zh"]])
