"""What English reads otherwise than as a plain number: dates, times, fractions, kings. Pure.

What may be read in two ways (`9/11`, `3/4/2020`, `St.`) is left as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import gcd

from babel import Locale
from roman_numerals import InvalidRomanNumeralError, RomanNumeral

Words = Callable[[int, str], str | None]  # (number, num2words' `to`) -> words

_MONTHS = "|".join(Locale("en").months["format"]["wide"].values())
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_MONTH_DAY = re.compile(rf"\b({_MONTHS}) {_DAY}(?: to {_DAY})?(?!\w|[.,:/]\d)")
_DAY_MONTH = re.compile(rf"(?<![\w.,:/–-])(?:([Tt]he) )?(?:{_DAY} to )?{_DAY} ({_MONTHS})\b(?!\s\d{{1,2}}\b)")
_ORDINAL = re.compile(r"(?<!\w)(\d{1,4})(?:st|nd|rd|th)(?!\w)")
_CLOCK = re.compile(r"(?<![\w:.])(\d{1,2}):([0-5]\d)(?![\w:])")
_PHONE = re.compile(
    r"(?<![\w.+-])(\+?1[ -](?=[(\d]))?(\(\d{3}\) ?|\d{3}-)?(\d{3})-(\d{4})(?![\w-]|[.,]\d)",
)
_BEFORE_SPANS = frozenset({"from", "between", "pages", "years"})
_DECADE = re.compile(
    r"(?<![\w.,/])(?:(1[1-9]\d0|20\d0)"
    r"|((?:his|her|their|my|our|your|the|early|mid|late)[ -]|['’‘])([2-9]0))s(?!\w)"
)
_FRACTION = re.compile(r"(?<![\w.,:/-])(?<!\b[Oo]n )(?:(\d{1,3}) )?(\d)/([23458])(?![\w/]|[.,]\d| time\b)")
_PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 8: "eighth"}
_REFERENCES = {
    "no": "number",
    "nos": "numbers",
    "p": "page",
    "pp": "pages",
    "vol": "volume",
    "vols": "volumes",
    "ch": "chapter",
    "fig": "figure",
    "figs": "figures",
}
# `He said no. 12 came.` is no number
_REFERENCE = re.compile(
    r"(?<![\w.])(Nos?|[Pp]p?|[Vv]ols?|[Cc]h|[Ff]igs?)\.\s?(?=\d)(?:(\d+)\s?[–-]\s?(?=\d))?",
)
# an en dash between numbers; a hyphen there may be a score, a part number or a telephone's
_SPAN = re.compile(
    r"(?<![\w.,:/–-])([$€£¥]?)(\d[\d.,:]*(?:st|nd|rd|th|%)?)–(?=[$€£¥]?\d[\d.,:]*(?![\d.,:]*[–-]))([$€£¥]?)"
)
REGNAL_NAMES = (
    *("Alexander", "Benedict", "Catherine", "Charles", "Christian", "Clement", "Edward", "Elizabeth"),
    *("Ferdinand", "Francis", "Frederick", "George", "Gregory", "Gustav", "Henry", "Innocent", "Ivan"),
    *("James", "Leo", "Louis", "Mary", "Napoleon", "Nicholas", "Paul", "Peter", "Philip", "Pius"),
    *("Ramesses", "Richard", "Urban", "Victoria", "William"),
)
# `When I met Charles I ran`: a lone I is the first where nobody could go on
_REGNAL = re.compile(
    rf"\b({'|'.join(REGNAL_NAMES)}) (?:([IVX]{{2,6}}|[VX])\b|(I)(?=$|[.,;:!?)\]]|['’]s\b| of\b))"
)


def english_form(text: str, words: Words) -> str:
    """`text` with these in words; other numbers, and what may mean several things, stay as they are."""
    for pattern, said in _RULES:
        text = pattern.sub(partial(said, words), text)
    return text


def spans_in_words(text: str) -> str:
    """`10–15 people` as `10 to 15 people`; the sign of `$10–15` goes to the second, where sums are read."""
    return _SPAN.sub(lambda m: f"{m[1] if m[3] else ''}{m[2]} to {m[3] or m[1]}", text)


def refers_ahead(word: str) -> bool:
    """Whether a number behind this word belongs to it: the period of `vol. 3` ends no sentence."""
    return word.removesuffix(".").lower() in _REFERENCES


def _month_day(words: Words, match: re.Match[str]) -> str:
    days = _days(words, *match.groups()[1:])
    return f"{match[1]} {' to '.join(days)}" if days else match[0]


def _day_month(words: Words, match: re.Match[str]) -> str:
    the, *written, month = match.groups()
    days = _days(words, *written)
    return f"{the or 'the'} {' to the '.join(days)} of {month}" if days else match[0]


def _days(words: Words, *written: str | None) -> list[str]:
    """None where one of them is no day of a month."""
    days = [int(digits) for digits in written if digits]
    return [words(day, "ordinal") or str(day) for day in days] if all(1 <= day <= 31 for day in days) else []


def _ordinal(words: Words, match: re.Match[str]) -> str:
    return words(int(match[1]), "ordinal") or match[0]


def _clock(words: Words, match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if hour > 24:
        return match[0]
    minutes = f" {'oh ' * (minute < 10)}{words(minute, 'cardinal')}" if minute else " o’clock"
    return f"{words(hour, 'cardinal')}{minutes}"


def _phone(words: Words, match: re.Match[str]) -> str:
    before = match.string[: match.start()].rstrip().rpartition(" ")[2].lower()
    is_span = before in _BEFORE_SPANS or match[3][-1] == match[4][-1] == "0"  # `800-1200 men`
    if is_span and not (match[1] or match[2]):
        return match[0]
    groups = [" ".join(words(int(d), "cardinal") or d for d in each) for each in re.findall(r"\d+", match[0])]
    return f"{'plus ' * match[0].startswith('+')}{', '.join(groups)}"


def _decade(words: Words, match: re.Match[str]) -> str:
    year, before, tens = match.groups()
    said = words(int(year), "year") if year else words(int(tens), "cardinal")
    if said is None:
        return match[0]
    return f"{(before or '').lstrip('’‘' + chr(39))}{said[:-1]}ies" if said[-1] == "y" else f"{said}s"


def _fraction(words: Words, match: re.Match[str]) -> str:
    whole, above, below = match[1], int(match[2]), int(match[3])
    if not 0 < above < below or gcd(above, below) > 1:
        return match[0]
    said = f"{words(above, 'cardinal')} {_PARTS[below]}{'s' * (above > 1)}"
    return f"{whole} and {said}" if whole else said


def _reference(words: Words, match: re.Match[str]) -> str:
    return f"{_REFERENCES[match[1].lower()]} {f'{match[2]} to ' if match[2] else ''}"


def _regnal(words: Words, match: re.Match[str]) -> str:
    try:
        number = int(RomanNumeral.from_string(match[2] or match[3]))
    except InvalidRomanNumeralError:
        return match[0]
    return f"{match[1]} the {words(number, 'ordinal')}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[Words, re.Match[str]], str]], ...] = (
    (_PHONE, _phone),
    (_REFERENCE, _reference),
    (_DECADE, _decade),
    (_FRACTION, _fraction),
    (_MONTH_DAY, _month_day),
    (_DAY_MONTH, _day_month),
    (_ORDINAL, _ordinal),
    (_CLOCK, _clock),
    (_REGNAL, _regnal),
)
