"""Pairs of one utterance as two recognisers, or the text to be said, write it.

[whisper] what openai-whisper and its English normaliser's tables write: digits, signs, "p.m.".
[sphinx] words that pocketsphinx can write: all are in its cmudict-en-us.dict, which has no digit and no `%`.
[text] spellings of manifests.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.normalizers import NORMALIZERS
from pipeline.metrics.spoken_english import fold_words, spell_symbols

ENGLISH = NORMALIZERS["en"]


@pytest.mark.parametrize(
    ("written", "said", "origin"),
    [
        ("on the 21st of May", "on the twenty first of may", "[whisper] [sphinx]"),
        ("her 100th", "her one hundredth", "[whisper] [sphinx]"),
        ("In 1999, it rained", "in nineteen ninety nine it rained", "[whisper] [sphinx]"),
        ("since 2005", "since two thousand and five", "[whisper] [sphinx]"),
        ("the 1980s", "the nineteen eighties", "[whisper] [sphinx]"),
        ("the '90s", "the nineties", "[whisper] [sphinx]"),
        ("105 boats", "one hundred and five boats", "[whisper] [sphinx]"),
        ("50%", "fifty percent", "[whisper] [sphinx]"),
        ("3.5 %", "three point five per cent", "[text] [text, British]"),
        ("salt & pepper", "salt and pepper", "[text] [sphinx]"),
        ("R&B", "r and b", "[whisper] [sphinx]"),
        ("$3.50", "three dollars and fifty cents", "[whisper] [sphinx]"),
        ("$1", "one dollar", "[whisper] [sphinx]"),
        ("$1,200", "one thousand two hundred dollars", "[whisper] [sphinx]"),
        ("$1999", "one thousand nine hundred ninety nine dollars", "[whisper] money is no year"),
        ("$2.5 million", "two point five million dollars", "[whisper] [sphinx]"),
        ("8,000,000", "8 million", "[text] [whisper]"),
        ("$1,000,000", "$1 million", "[text] [whisper]"),
        ("2,000,000,000", "two billion", "[text] [sphinx]"),
        ("1,000,005", "one million and five", "[text] [text, British]"),
        ("10°C", "ten degrees celsius", "[whisper] [text]"),
        ("1 °F", "one degree fahrenheit", "[text] [text]"),
        ("-21℃", "minus twenty one degrees celsius", "[text] [text]"),
        ("a turn of 90°", "a turn of ninety degrees", "[whisper] [sphinx]"),
        ("£10.01", "ten pounds and one penny", "[whisper] [sphinx]"),
        ("€0.20", "twenty cents", "[whisper] [sphinx]"),
        ("¥500", "five hundred yen", "[whisper] [sphinx]"),
        ("99¢", "ninety-nine cents", "[text] [sphinx]"),
        ("5 o'clock", "five o'clock", "[whisper] [sphinx]"),
        ("5 o’clock", "five o' clock", "[text] curly [text] a stray space"),
        ("five oclock", "five o clock", "[text] no apostrophe"),
        ("at 5:00", "at five o'clock", "[whisper] [sphinx]"),
        ("at 5:00 p.m.", "at five p.m.", "[whisper] [sphinx]"),
        ("at 5:05pm", "at five oh five pm", "[text] [sphinx]"),
        ("10:30 AM", "ten thirty a. m.", "[whisper] [text]"),
        ("17:30", "seventeen thirty", "[whisper] [sphinx]"),
    ],
)
def test_two_ways_to_write_one_utterance(written, said, origin):
    assert ENGLISH(written) == ENGLISH(said), origin


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ten pounds and fifty people", "ten pounds fifty people"),  # "and" goes before coins alone
        ("1999 boats", "one thousand nine hundred ninety nine boats"),  # read as a year, whatever it counts
        ("$5", "five"),  # the dollars were said
        ("50%", "fifty"),
        ("the 21st", "the twenty one"),
    ],
)
def test_what_stays_apart(one, other):
    assert ENGLISH(one) != ENGLISH(other)


def test_a_sign_without_a_number_is_left_to_the_caller():
    assert spell_symbols("a $ b") == "a $ b"
    assert ENGLISH("a $ b") == "a b"


@given(
    st.lists(
        st.sampled_from(
            [
                "one",
                "hundred",
                "and",
                "five",
                "dollars",
                "cents",
                "o",
                "clock",
                "per",
                "cent",
                "p",
                "m",
                "oclock",
            ]
        )
    )
)
def test_folding_twice_is_folding_once(words):
    once = fold_words(" ".join(words))
    assert fold_words(once) == once


@given(st.text("0123456789$€£¥¢%&°-\u2212:., '/stndrhampC", max_size=16))
def test_no_digit_and_no_sign_is_left(text):
    once = ENGLISH(text)
    assert not set(once) & set("0123456789$€£¥¢%&°-\u2212")
    assert ENGLISH(once) == once
