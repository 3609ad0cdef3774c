"""The text rules of published protocols, to the letter: what they leave out is part of their numbers.

They are for comparison with published figures; `normalizers.py` has the ones we would choose. Source: each
project's own scoring script.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable, Mapping
from functools import cache

from pipeline.metrics.normalizers import NORMALIZERS, Normalizer, Unit

# The value of `zhon.hanzi.punctuation` (zhon 2, MIT), which Seed-TTS Eval, F5 and CV3-Eval import. It is a
# constant of the protocol: it lacks ، ؟ ؛ « », and it has both curly single quotes but not U+02BC.
_ZHON_PUNCTUATION = (
    "\uff02\uff03\uff04\uff05\uff06\uff07\uff08\uff09\uff0a\uff0b\uff0c\uff0d\uff0f\uff1a\uff1b\uff1c\uff1d"
    "\uff1e\uff20\uff3b\uff3c\uff3d\uff3e\uff3f\uff40\uff5b\uff5c\uff5d\uff5e\uff5f\uff60\uff62\uff63\uff64"
    "\u3000\u3001\u3003\u3008\u3009\u300a\u300b\u300c\u300d\u300e\u300f\u3010\u3011\u3014\u3015\u3016\u3017"
    "\u3018\u3019\u301a\u301b\u301c\u301d\u301e\u301f\u3030\u303e\u303f\u2013\u2014\u2018\u2019\u201b\u201c"
    "\u201d\u201e\u201f\u2026\u2027\ufe4f\ufe51\ufe54\u00b7\uff01\uff1f\uff61\u3002"
)
_F5_DELETED = str.maketrans("", "", _ZHON_PUNCTUATION + string.punctuation)
_SEED_DELETED = str.maketrans("", "", (_ZHON_PUNCTUATION + string.punctuation).replace("'", ""))


def _rules(deleted: Mapping[int, int | None], *, lower: bool) -> Callable[[str], str]:
    def normalise(text: str) -> str:
        # one pass, as there: of three spaces two are left, and jiwer reads any number as one gap
        text = text.translate(deleted).replace("  ", " ")
        return text.lower() if lower else text

    return normalise


def _normalizer(name: str, unit: Unit, function: Callable[[str], str]) -> Normalizer:
    return Normalizer(f"{name}/1", unit, function)


def whisper_english(spellings: Mapping[str, str] | None = None) -> Normalizer:
    """Whisper's English normaliser, by transformers; a secondary view only ("5 o'clock" becomes "50 clock").

    `spellings` is the British to American table, `normalizer.json` of a Whisper checkpoint. Without it
    "colour" is not "color", and the id says so: such a score is not that of the published normaliser.
    """
    table = dict(spellings or {})
    digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]
    name = f"whisper_en/1+spellings-{digest}" if table else "whisper_en/1-no-spellings"
    return Normalizer(name, "word", _Lazy(table))


class _Lazy:
    """The normaliser, built at its first text: importing transformers takes seconds."""

    def __init__(self, spellings: dict[str, str]) -> None:
        self._spellings = spellings
        self._function: Callable[[str], str] | None = None

    def __call__(self, text: str) -> str:
        if self._function is None:
            self._function = _english_text_normalizer()(self._spellings)
        return self._function(text)


@cache
def _english_text_normalizer() -> Callable[[dict[str, str]], Callable[[str], str]]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    made: Callable[[dict[str, str]], Callable[[str], str]] = EnglishTextNormalizer
    return made


PROTOCOL_NORMALIZERS: dict[str, Normalizer] = {
    "seed_en": _normalizer("seed_en", "word", _rules(_SEED_DELETED, lower=True)),
    # characters are not lowercased: APP and app are three errors
    "seed_zh": _normalizer("seed_zh", "char", _rules(_SEED_DELETED, lower=False)),
    "f5_en": _normalizer("f5_en", "word", _rules(_F5_DELETED, lower=True)),
    "f5_zh": _normalizer("f5_zh", "char", _rules(_F5_DELETED, lower=False)),
    "cv3_words": _normalizer("cv3_words", "word", _rules(_SEED_DELETED, lower=True)),
    "cv3_chars": _normalizer("cv3_chars", "char", _rules(_SEED_DELETED, lower=False)),
    "whisper_en": whisper_english(),
    "ar_leaderboard": NORMALIZERS["ar_leaderboard"],
    "ar_loose": NORMALIZERS["ar_loose"],
    "en": NORMALIZERS["en"],
}
