"""English cardinals in words, so that "50" and "fifty" are the same text."""

from __future__ import annotations

import re

LARGEST = 999_999
# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
# the fraction after a number, or a whole number with or without thousands commas
_NUMBER = re.compile(r"(?<=[0-9])\.(?P<fraction>[0-9]+)|[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+")


def cardinal(number: int) -> str:
    """`number` in words without "and" or hyphens: 1205 is "one thousand two hundred five".

    Raises ValueError outside 0..999,999.
    """
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{number} is outside 0..{LARGEST}")
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _join(_TENS[number // 10], number % 10)
    if number < 1000:
        return _join(f"{_ONES[number // 100]} hundred", number % 100)
    return _join(f"{cardinal(number // 1000)} thousand", number % 1000)


def spell_numbers(text: str) -> str:
    """Every run of ASCII digits in `text` as words, set apart by spaces: "1,205" and "3.5" are numbers.

    Fractions, numbers with leading zeros and those over 999,999 are read digit by digit.
    """
    return _NUMBER.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    if match["fraction"]:
        return f" point {_digits(match['fraction'])} "
    digits = match.group().replace(",", "")
    plain = len(digits) <= len(str(LARGEST)) and (digits == "0" or digits[0] != "0")
    return f" {cardinal(int(digits)) if plain else _digits(digits)} "


def _digits(digits: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in digits)


def _join(head: str, rest: int) -> str:
    return f"{head} {cardinal(rest)}" if rest else head
