"""English as it is said: money, percent, degrees, clock times and `&` in words, spellings of one word folded.

One recogniser writes "$3.50" (Whisper), another "three dollars and fifty cents" (pocketsphinx, whose
dictionary has no digits), and the text to be said may hold either. Both must become the same words.
"""

from __future__ import annotations

import re

from pipeline.metrics.cardinals import NUMBER_WORDS, SCALE_WORDS, spell_digits, spell_numbers, spell_whole

# singular and plural of a coin's whole and hundredth part; the yen has none
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
}
_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_AMOUNT = re.compile(
    rf"(?P<sign>[$€£¥])\s?(?P<whole>{_WHOLE})(?:\.(?P<fraction>[0-9]+))?"
    r"(?:\s?(?P<scale>thousand|million|billion|trillion)\b)?",
    re.IGNORECASE,
)
_CENTS = re.compile(rf"(?P<whole>{_WHOLE})\s?¢")
_DEGREES = re.compile(r"(?:(?<![0-9.,])(?P<one>1)\s?)?°(?:\s?(?P<of>[CF])\b)?", re.IGNORECASE)
_DEGREES_OF = {"c": "celsius", "f": "fahrenheit"}
# not in "3 -5", which may be a range, nor inside a word
_MINUS = re.compile(r"(?<![^\s(\[\"'\u2018\u201c])(?<![0-9]\s)[-\u2013\u2212](?=[$€£¥]?[0-9])")
# 12-hour times; what stands behind says whether it is said "o'clock"
_TIME = re.compile(
    r"\b(?P<hour>1[0-2]|[1-9]):(?P<minute>[0-5][0-9])(?![0-9])(?P<half>\s?[ap]\.?\s?m\b)?", re.IGNORECASE
)

_NUMBER_WORD = "|".join(sorted(NUMBER_WORDS))
_WORD_FOLDS = (
    (re.compile(r"\bo'? ?clock\b"), "o'clock"),
    (re.compile(r"\bper cent\b"), "percent"),
    (re.compile(r"\b([ap]) m\b"), r"\1m"),
    # "one hundred and five", and "three dollars and fifty cents": the word is optional
    (re.compile(rf"\b({'|'.join(SCALE_WORDS)})(?: and)+(?= (?:{_NUMBER_WORD})\b)"), r"\1"),
    (
        re.compile(
            rf"\b(dollars?|euros?|pounds?)(?: and)+(?=(?: (?:{_NUMBER_WORD}))+ (?:cents?|penny|pence)\b)"
        ),
        r"\1",
    ),
)


def spell_minus(text: str) -> str:
    """The minus before a number in words: " -5" is "minus 5", the hyphen of "1914-18" stays."""
    return _MINUS.sub(" minus ", text)


def spell_symbols(text: str) -> str:
    """Amounts, cents, degrees, clock times, numbers, `%` and `&` in words; other symbols stay as they are.

    "$3.50" is "three dollars fifty cents", "$2.5 million" "two point five million dollars", "5:00" "five
    o'clock", "5:05" "five oh five", "5:00 p.m." "five p.m.".
    """
    text = _DEGREES.sub(_degrees, _TIME.sub(_time, _CENTS.sub(_cents, _AMOUNT.sub(_amount, text))))
    return spell_numbers(text.replace("%", " percent ").replace("&", " and "))


def fold_words(text: str) -> str:
    """Lower-case words parted by single spaces, with spellings of one spoken form made one."""
    for pattern, word in _WORD_FOLDS:
        text = pattern.sub(word, text)
    return text


def _amount(match: re.Match[str]) -> str:
    one, many, hundredth, hundredths = _MONEY[match["sign"]]
    whole, fraction, scale = match["whole"], match["fraction"], match["scale"]
    if scale or (fraction is not None and (len(fraction) != 2 or not hundredth)):
        point = f"point {spell_digits(fraction)} " if fraction else ""
        return f" {spell_whole(whole)} {point}{scale or ''} {many} "
    said = []
    cents = int(fraction or 0)
    if int(whole.replace(",", "")) or not cents:
        said.append(f"{spell_whole(whole)} {one if whole == '1' else many}")
    if cents:
        said.append(f"{spell_whole(str(cents))} {hundredth if cents == 1 else hundredths}")
    return f" {' '.join(said)} "


def _cents(match: re.Match[str]) -> str:
    return f" {spell_whole(match['whole'])} {'cent' if match['whole'] == '1' else 'cents'} "


def _degrees(match: re.Match[str]) -> str:
    name = _DEGREES_OF[match["of"].lower()] if match["of"] else ""
    return f"{'1 degree' if match['one'] else ' degrees'} {name} "


def _time(match: re.Match[str]) -> str:
    hour, minute, half = spell_whole(match["hour"]), match["minute"], match["half"] or ""
    if minute == "00":
        return f" {hour} {half}" if half else f" {hour} o'clock"
    return f" {hour} {'oh ' if minute[0] == '0' else ''}{spell_whole(str(int(minute)))} {half}"
