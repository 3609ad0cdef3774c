"""English numbers in words, so that "50" and "fifty", "21st" and "twenty first" are the same text."""

from __future__ import annotations

import re

LARGEST = 10**15 - 1
# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}
# fmt: on
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
SCALE_WORDS = tuple(name for _, name in _SCALES)
NUMBER_WORDS = frozenset({*_ONES, *_TENS[2:]})
_THOUSANDS = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])"
# in this order: 21st; 1990s and 80s; the fraction after a number; a number, perhaps with thousands commas
_NUMBER = re.compile(
    rf"(?P<ordinal>{_THOUSANDS}|[0-9]+)(?:st|nd|rd|th)\b"
    r"|\b(?P<decade>[0-9]{1,3}0)'?s\b"
    r"|(?<=[0-9])\.(?P<fraction>[0-9]+)"
    rf"|(?P<whole>{_THOUSANDS}|[0-9]+)(?P<own>'s\b)?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"1[1-9][0-9]{2}|20[1-9][0-9]")


def cardinal(number: int) -> str:
    """`number` in words without "and" or hyphens: 1205 is "one thousand two hundred five".

    Raises ValueError outside 0..LARGEST.
    """
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{number} is outside 0..{LARGEST}")
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _join(_TENS[number // 10], number % 10)
    size, name = next(scale for scale in _SCALES if number >= scale[0])
    return _join(f"{cardinal(number // size)} {name}", number % size)


def ordinal(number: int) -> str:
    """The place in words: 21 is "twenty first". Raises ValueError outside 0..LARGEST."""
    head, space, last = cardinal(number).rpartition(" ")
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return head + space + _ORDINALS.get(last, regular)


def year(number: int) -> str:
    """A year of the 12th to 21st century as it is read: 1999 is "nineteen ninety nine".

    1905 is "nineteen oh five". Round centuries are hundreds; 2000 to 2009 are cardinals.
    """
    century, rest = divmod(number, 100)
    if century == 20 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {cardinal(rest) if rest >= 10 else f'oh {cardinal(rest)}'}"


def spell_numbers(text: str) -> str:
    """Every run of ASCII digits in `text` as words, set apart by spaces: "1,205" and "3.5" are numbers.

    Four digits without a comma from 1100 to 1999 and 2010 to 2099 are read as years, whatever they count.
    Digit by digit are read fractions, numbers with leading zeros and those over LARGEST, and seven digits or
    more without a comma that are no round thousands: these are telephone numbers.
    """
    return _NUMBER.sub(_spell, text)


def spell_whole(digits: str) -> str:
    """A whole number that is no year: with or without commas, digit by digit where it is no cardinal."""
    plain = digits.replace(",", "")
    return cardinal(int(plain)) if _is_cardinal(digits) else spell_digits(plain)


def spell_digits(digits: str) -> str:
    """ "50" is "five zero"."""
    return " ".join(_ONES[int(digit)] for digit in digits)


def _spell(match: re.Match[str]) -> str:
    if match["fraction"]:
        return f" point {spell_digits(match['fraction'])} "
    if match["ordinal"]:
        digits = match["ordinal"]
        plain = digits.replace(",", "")
        return f" {ordinal(int(plain)) if _is_cardinal(digits) else spell_digits(plain)} "
    if match["decade"]:
        return f" {_plural(_number(match['decade'], match.string, match.end('decade')))} "
    return f" {_number(match['whole'], match.string, match.end('whole'))}{match['own'] or ''} "


def _number(digits: str, text: str, end: int) -> str:
    is_fraction = re.match(r"\.[0-9]", text[end : end + 2])
    return year(int(digits)) if _YEAR.fullmatch(digits) and not is_fraction else spell_whole(digits)


def _plural(words: str) -> str:
    """ "ninety" is "nineties", "hundred" "hundreds"."""
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _is_cardinal(digits: str) -> bool:
    plain = digits.replace(",", "")
    if len(plain) > len(str(LARGEST)) or (plain[0] == "0" and plain != "0"):
        return False
    return len(plain) < 7 or plain != digits or plain.endswith("000")


def _join(head: str, rest: int) -> str:
    return f"{head} {cardinal(rest)}" if rest else head
