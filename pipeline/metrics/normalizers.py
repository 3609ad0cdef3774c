"""What two texts must share to be the same text: one normaliser per language family.

A normaliser is applied to reference and hypothesis alike. Its id carries a version and is stored with
every score: a change that alters one output of one text is a new version.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.languages import primary_subtag
from pipeline.metrics.spoken_english import fold_words, spell_minus, spell_symbols

Unit = Literal["word", "char"]
RATE_OF: dict[Unit, str] = {"word": "wer", "char": "cer"}  # the column that a row is judged by

# typographic and modifier apostrophes; the full-width one is folded by NFKC
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc", "'"))
# ZWNJ and ZWJ are spelling in Persian and in Indic scripts; other format characters cannot be heard
_JOINERS = "\u200c\u200d"
# without a space here "and/or" and "wait...what" would become one word each; dashes are found by category
_SEPARATORS = re.compile(r"[/\\]|\.{2,}")


@dataclass(frozen=True, slots=True)
class Normalizer:
    """A text normaliser. `unit` says which error rate is the primary one for its languages."""

    id: str
    unit: Unit
    function: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.function(text)


def _generic(text: str) -> str:
    # NFKC again: characters that stood apart can compose once what was between them has gone
    return " ".join(unicodedata.normalize("NFKC", _without_punctuation(_folded(text).lower())).split())


def _english(text: str) -> str:
    # a minus may be a dash, and these go first; symbols go last: in "3+4" one is all between two numbers
    spelled = spell_symbols(_folded(spell_minus(unicodedata.normalize("NFKC", text))))
    return fold_words(_generic("".join(" " if unicodedata.category(c)[0] == "S" else c for c in spelled)))


def _unspaced(text: str) -> str:
    return unicodedata.normalize("NFKC", "".join(_generic(text).split()))


def _folded(text: str) -> str:
    """NFKC, straight apostrophes, and a space for every dash, underscore, slash and ellipsis."""
    text = _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", text).translate(_APOSTROPHES))
    return "".join(" " if unicodedata.category(char) in ("Pd", "Pc") else char for char in text)


def _without_punctuation(text: str) -> str:
    """Without P* and inaudible format characters; apostrophes inside words stay, and so do symbols."""
    kept = []
    for i, char in enumerate(text):
        category = unicodedata.category(char)
        if char == "'":
            keep = 0 < i < len(text) - 1 and _in_word(text[i - 1]) and _in_word(text[i + 1])
        elif category == "Cf":
            keep = char in _JOINERS
        else:
            keep = category[0] != "P"
        if keep:
            kept.append(char)
    return "".join(kept)


def _in_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


# The Open Universal Arabic ASR Leaderboard's conventions.
# Folds no ة/ه and no ى/ي, keeps tatweel and U+0670.
_AR_DELETED = string.punctuation + "،؛؟" + "".join(map(chr, range(0x064B, 0x0653))) + "ء"
_AR_LEADERBOARD = str.maketrans("آأإؤئپڤ٠١٢٣٤٥٦٧٨٩", "اااويبف0123456789", _AR_DELETED)
_AR_LOOSE = str.maketrans("ةى", "هي", "\u0640\u0670")
_AR_LONE_WAW = re.compile(r"(?<!\S)و\s+(?=\S)")


def _arabic_leaderboard(text: str) -> str:
    return _AR_LONE_WAW.sub("و", text.translate(_AR_LEADERBOARD)).strip()


def _arabic_loose(text: str) -> str:
    # tatweel first: it can hide a lone waw
    return _arabic_leaderboard(text.translate(_AR_LOOSE))


NORMALIZERS: dict[str, Normalizer] = {
    "en": Normalizer("en/3", "word", _english),
    "generic": Normalizer("generic/1", "word", _generic),
    "zh": Normalizer("zh/1", "char", _unspaced),
    "ja": Normalizer("ja/1", "char", _unspaced),
    "th": Normalizer("th/1", "char", _unspaced),
    "unspaced": Normalizer("unspaced/1", "char", _unspaced),
    # words stay, for a WER; spacing is free enough that characters are the measure
    "ko": Normalizer("ko/1", "char", _generic),
    "ar_leaderboard": Normalizer("ar_leaderboard/1", "word", _arabic_leaderboard),
    "ar_loose": Normalizer("ar_loose/1", "word", _arabic_loose),
}
# the Chinese languages, and others that part no words: Lao, Khmer, Burmese, Shan, Mon, Tibetan, Dzongkha, and
# those of Thailand that are written in its script
_CHINESE = (
    *("zh", "cmn", "yue", "wuu", "nan", "hak", "gan", "hsn"),
    *("cdo", "cjy", "cpx", "czh", "czo", "mnp", "lzh"),
)
_NO_WORDS = ("lo", "km", "my", "shn", "mnw", "bo", "dz", "nod", "sou", "tts")
_BY_LANGUAGE = {
    "en": "en",
    **dict.fromkeys(_CHINESE, "zh"),
    "ja": "ja",
    "th": "th",
    **dict.fromkeys(_NO_WORDS, "unspaced"),
    "ko": "ko",
    "ar": "ar_leaderboard",
    "arb": "ar_leaderboard",
}


def normalizer_for(language: str) -> Normalizer:
    """The default normaliser of a BCP-47 tag, by its primary subtag: `en-GB` is read as `en`."""
    primary = primary_subtag(language)
    return NORMALIZERS[_BY_LANGUAGE.get(primary, "generic")]


def unit_of(row: Mapping[str, Any]) -> Unit:
    """What a result row is judged by: of the normaliser that scored it, else of its language."""
    family = (row.get("normalizer") or "").partition("/")[0]
    known = NORMALIZERS.get(family) or normalizer_for(row.get("language") or "und")
    return known.unit
