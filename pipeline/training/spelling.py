"""Letter-to-sound rules as a tokenizer's normaliser: English letters in, a character per phone out.

A causal model reads a letter before it knows the next one, and "c" says nothing without it: a model of
a few million parameters spends its hours on English spelling. So voicemill-mini's tokenizer spells as it
sounds. The rules are data beside this module (`english.rules`, made by `jobs.learn_spelling`) and end up in
the checkpoint's `tokenizer.json`: whoever loads it needs nothing of ours.

A letter becomes a private-use character that stands for that letter said in that way, so rules that look
at it later still know which letter it was; in the end each of them becomes its phones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.training.letter_to_sound import EDGE, LETTERS, SYMBOLS, Phones, Rule

RULES_FILE = Path(__file__).with_name("english.rules")
# one character for each of flite's phones, as in the IPA where that has one
# fmt: off
IPA = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "ꜷ", "ax": "ə", "ay": "ꜽ", "b": "b", "ch": "ʧ",
    "d": "d", "dh": "ð", "eh": "ɛ", "er": "ɝ", "ey": "e", "f": "f", "g": "g", "hh": "h", "ih": "ɪ", "iy": "i",
    "jh": "ʤ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "ow": "o", "oy": "ꝏ", "p": "p", "r": "r",
    "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z",
    "zh": "ʒ",
}
# fmt: on
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIRST, _WAYS = 0xE000, 32  # private use: so many ways to say a letter
_LETTER = rf"['a-z{chr(_FIRST)}-{chr(_FIRST + _WAYS * len(LETTERS) - 1)}]"


def write_rules(rules: Sequence[Rule]) -> str:
    """A line each: the letter, its phones, and `offset=symbols`, where `^` stands for all others."""
    return "".join(
        " ".join([rule.letter, "_".join(rule.phones) or "-", *_contexts(rule)]) + "\n" for rule in rules
    )


def read_rules(text: str) -> list[Rule]:
    """What `write_rules` wrote. Raises ConfigError for a line that is none of its."""
    return [_read_rule(number, line) for number, line in enumerate(text.splitlines(), start=1)]


def _contexts(rule: Rule) -> Iterator[str]:
    for offset, symbols in sorted(rule.context.items()):
        others = frozenset(SYMBOLS) - symbols
        named = f"^{''.join(sorted(others))}" if len(others) < len(symbols) else "".join(sorted(symbols))
        yield f"{offset}={named}"


def _read_rule(number: int, line: str) -> Rule:
    letter, phones, *contexts = line.split(" ")
    context: dict[int, frozenset[str]] = {}
    for offset, equals, named in (part.partition("=") for part in contexts):
        symbols = frozenset(named.removeprefix("^"))
        if not equals or not symbols <= frozenset(SYMBOLS):
            raise ConfigError(f"spelling rule {number}: {line!r}: a context is offset=symbols")
        context[int(offset)] = frozenset(SYMBOLS) - symbols if named.startswith("^") else symbols
    return Rule(letter, () if phones == "-" else tuple(phones.split("_")), context)


def phone_normalizers(rules: Sequence[Rule]) -> list[Any]:
    """`tokenizers` normalisers, to be applied in order: letters to phones, other marks as they are."""
    from tokenizers import Regex, normalizers

    plain = [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    plain.append(normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain += [normalizers.Replace(str(digit), f" {word} ") for digit, word in enumerate(DIGITS)]
    said = {letter: _ways(rules, letter) for letter in LETTERS}
    replaced = [
        normalizers.Replace(Regex(_pattern(letter, fitting)), chr(_code(letter, way)))
        for letter, ways in said.items()
        for way, fitting in enumerate(ways.values())
    ]
    marks: dict[Phones, list[int]] = {}
    for letter, ways in said.items():
        for way, phones in enumerate(ways):
            marks.setdefault(phones, []).append(_code(letter, way))
    told = [
        normalizers.Replace(Regex(f"[{''.join(map(chr, codes))}]"), "".join(IPA[p] for p in phones))
        for phones, codes in marks.items()
    ]
    return [*plain, *replaced, *told]


def _ways(rules: Sequence[Rule], letter: str) -> dict[Phones, list[Rule]]:
    """A letter's rules by what they say. The last way has the most rules, and gets what is left."""
    ways: dict[Phones, list[Rule]] = {}
    for rule in rules:
        if rule.letter == letter:
            ways.setdefault(rule.phones, []).append(rule)
    ordered = dict(sorted(ways.items(), key=lambda item: len(item[1])))
    if ordered:
        ordered[next(reversed(ordered))] = []
    return ordered


def _code(letter: str, way: int) -> int:
    return _FIRST + _WAYS * LETTERS.index(letter) + way


def _pattern(letter: str, rules: Sequence[Rule]) -> str:
    """The letter where one of the rules fits; wherever it is left, where there are none."""
    if not rules:
        return letter
    fits = ("".join(_assertion(o, s, letter) for o, s in rule.context.items()) for rule in rules)
    return f"{letter}(?:{'|'.join(fits)})"


def _assertion(offset: int, symbols: frozenset[str], letter: str) -> str:
    """A look at one neighbour, from behind the letter. Beyond the edge of a word all is edge."""
    between = _LETTER * (abs(offset) - 1)
    if EDGE in symbols:
        others = _class(frozenset(LETTERS) - symbols)
        return f"(?!{between}{others})" if offset > 0 else f"(?<!{others}{between}{letter})"
    wanted = _class(symbols)
    return f"(?={between}{wanted})" if offset > 0 else f"(?<={wanted}{between}{letter})"


def _class(letters: frozenset[str]) -> str:
    ranges = (
        f"{letter}{chr(_code(letter, 0))}-{chr(_code(letter, _WAYS - 1))}" for letter in sorted(letters)
    )
    return f"[{''.join(ranges)}]"
