from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.cardinals import cardinal, spell_numbers

# fmt: off
VALUES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}
# fmt: on


def value_of(words: str) -> int:
    """Words back to a number, by adding and multiplying as one reads them."""
    thousands, current = 0, 0
    for word in words.split():
        if word == "thousand":
            thousands, current = current * 1000, 0
        elif word == "hundred":
            current *= 100
        else:
            current += VALUES[word]
    return thousands + current


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (100, "one hundred"),
        (110, "one hundred ten"),
        (1_000, "one thousand"),
        (1_205, "one thousand two hundred five"),
        (40_012, "forty thousand twelve"),
        (999_999, "nine hundred ninety nine thousand nine hundred ninety nine"),
    ],
)
def test_cardinals_by_hand(number, words):
    assert cardinal(number) == words


@given(st.integers(0, 999_999))
def test_words_read_back_to_the_number(number):
    assert value_of(cardinal(number)) == number


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_out_of_range(number):
    with pytest.raises(ValueError, match="outside"):
        cardinal(number)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("50", "fifty"),
        ("0", "zero"),
        ("1,205 boats", "one thousand two hundred five boats"),
        ("007", "zero zero seven"),
        ("3.50", "three point five zero"),
        ("1,234.5", "one thousand two hundred thirty four point five"),
        ("mp3", "mp three"),
        ("1000000", "one zero zero zero zero zero zero"),
        ("1,2345", "one , two thousand three hundred forty five"),  # no thousands comma
        ("chapter 7.", "chapter seven ."),
    ],
)
def test_numbers_in_text(text, words):
    assert " ".join(spell_numbers(text).split()) == words
