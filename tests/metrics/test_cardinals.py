from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.cardinals import cardinal, ordinal, spell_numbers, year

# fmt: off
VALUES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}
# fmt: on
SCALES = {"thousand": 1000, "million": 1000**2, "billion": 1000**3, "trillion": 1000**4}


def value_of(words: str) -> int:
    """Words back to a number, by adding and multiplying as one reads them."""
    whole, current = 0, 0
    for word in words.split():
        if word in SCALES:
            whole, current = whole + current * SCALES[word], 0
        elif word == "hundred":
            current *= 100
        else:
            current += VALUES[word]
    return whole + current


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
        (1_000_000, "one million"),
        (2_000_012, "two million twelve"),
        (3_001_000_100, "three billion one million one hundred"),
    ],
)
def test_cardinals_by_hand(number, words):
    assert cardinal(number) == words


@given(st.integers(0, 10**15 - 1))
def test_words_read_back_to_the_number(number):
    assert value_of(cardinal(number)) == number


@pytest.mark.parametrize("number", [-1, 10**15])
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
        ("8,000,000", "eight million"),
        ("1000000", "one million"),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("5551234", "five five five one two three four"),  # a telephone number
        ("1,000,000th", "one millionth"),
        ("1,2345", "one , two thousand three hundred forty five"),  # no thousands comma
        ("chapter 7.", "chapter seven ."),
        ("the 21st, 2ND and 1,000th", "the twenty first , second and one thousandth"),
        ("the 1990s, the 80's", "the nineteen nineties , the eighties"),
        ("in 1999.", "in nineteen ninety nine ."),
        ("1999.5", "one thousand nine hundred ninety nine point five"),
        ("1,999", "one thousand nine hundred ninety nine"),  # no year has a comma
        ("1984's", "nineteen eighty four's"),
        ("1099", "one thousand ninety nine"),
        ("2100", "two thousand one hundred"),
        ("007th", "zero zero seven"),
    ],
)
def test_numbers_in_text(text, words):
    assert " ".join(spell_numbers(text).split()) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zeroth"),
        (1, "first"),
        (2, "second"),
        (3, "third"),
        (4, "fourth"),
        (5, "fifth"),
        (8, "eighth"),
        (9, "ninth"),
        (12, "twelfth"),
        (13, "thirteenth"),
        (20, "twentieth"),
        (21, "twenty first"),
        (40, "fortieth"),
        (100, "one hundredth"),
        (112, "one hundred twelfth"),
        (1_000, "one thousandth"),
    ],
)
def test_ordinals_by_hand(number, words):
    assert ordinal(number) == words


@given(st.integers(0, 999_999))
def test_an_ordinal_is_its_cardinal_but_for_the_last_word(number):
    *head, last = ordinal(number).split()
    *same, cardinal_last = cardinal(number).split()
    assert head == same
    assert last != cardinal_last


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1100, "eleven hundred"),
        (1492, "fourteen ninety two"),
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (1999, "nineteen ninety nine"),
        (2000, "two thousand"),
        (2009, "two thousand nine"),
        (2010, "twenty ten"),
        (2026, "twenty twenty six"),
    ],
)
def test_years_by_hand(number, words):
    assert year(number) == words
