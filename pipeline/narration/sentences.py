"""A paragraph as pieces to speak: sentences by pysbd, put together or cut to a length. Pure.

Every piece is a slice of the text, and the slices are all of it: nothing is lost or said twice, whatever a
library makes of odd input.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pipeline.engine.frame_budget import estimate_duration_s
from pipeline.languages import primary_subtag
from pipeline.narration.book import is_spoken
from pipeline.narration.english import refers_ahead
from pipeline.narration.lexicon import abbreviations

Span = tuple[int, int]

_CLOSING = "\"'”’»›)]}」』）】》〉"
_ENDS = ".!?…‽。！？｡．।॥؟۔։።፧။၊;:;"  # pysbd also cuts before the number of a list, which no line begins with
# after one of these, and what closes behind it, a long sentence may be cut
_STRONG = re.compile(rf"(?:[;:—–]|--|[；：])[{re.escape(_CLOSING)}]*(?:\s+|(?<=[；：—]))")
_WEAK = re.compile(rf"(?:,|[，、])[{re.escape(_CLOSING)}]*(?:\s+|(?<=[，、]))")
_LEAST_SHARE = 0.15  # of a cut sentence: shorter parts sound torn off


def pieces(text: str, language: str, max_s: float) -> list[Span]:
    """Where `text` (one paragraph, on one line) is parted: spans that follow each other from end to end.

    Sentences are put together up to `max_s` seconds as estimated. One that is longer is cut at clauses; where
    there is none it stays whole. Languages unknown to pysbd (23 are known) go by its English rules.
    """

    def fits(begin: int, end: int) -> bool:
        return estimate_duration_s(text[begin:end].strip(), language) <= max_s

    packed: list[Span] = []
    for begin, end in sentences(text, language):
        if packed and fits(packed[-1][0], end):
            packed[-1] = (packed[-1][0], end)
            continue
        parts = [(begin, end)] if fits(begin, end) else _clauses(text, begin, end, language, max_s)
        packed += parts
    return _with_words(text, packed)


def sentences(text: str, language: str) -> list[Span]:
    """Spans of sentences, with the blanks behind them."""
    starts = [0]
    at = 0
    for sentence in _segmenter(language).segment(text) if text.strip() else []:
        begin = text.find(sentence.strip(), at)
        if begin < 0:  # it was altered on its way: what it says stays with the sentence before
            continue
        if _ends_sentence(text[:begin], text[begin:], primary_subtag(language)):
            starts.append(begin)
        at = begin + len(sentence.strip())
    return _spans([_behind_closing(text, start) for start in starts], len(text))


def _ends_sentence(before: str, behind: str, language: str) -> bool:
    said = before.rstrip().rstrip(_CLOSING).rstrip()
    last = said.rpartition(" ")[2]
    # `El Sr.` is not the end: what is written large is read before a name
    is_title = last[:1].isupper() and last in abbreviations().get(language, {})
    is_reference = language == "en" and behind[:1].isdigit() and refers_ahead(last)
    return bool(said) and said[-1] in _ENDS and not is_title and not is_reference


def _behind_closing(text: str, start: int) -> int:
    """A quotation mark that closes belongs to what it closes."""
    while 0 < start < len(text) and not text[start - 1].isspace() and text[start] in _CLOSING:
        start += 1
    while 0 < start < len(text) and text[start].isspace():
        start += 1
    return start


def _spans(starts: list[int], length: int) -> list[Span]:
    bounds = [*sorted({start for start in starts if start < length or start == 0}), length]
    return list(pairwise(bounds))


def _clauses(text: str, begin: int, end: int, language: str, max_s: float) -> list[Span]:
    """Cut near the middle, and the parts again, until each fits or has no clause to be cut at."""
    if estimate_duration_s(text[begin:end].strip(), language) <= max_s:
        return [(begin, end)]
    margin = (end - begin) * _LEAST_SHARE
    cuts = [[begin + at for at in found] for found in clause_ends(text[begin:end])]
    inner = [[cut for cut in found if begin + margin <= cut <= end - margin] for found in cuts]
    for found in (*inner, *cuts):
        between = [cut for cut in found if begin < cut < end]
        if between:
            cut = min(between, key=lambda at: abs(2 * at - begin - end))
            return [
                *_clauses(text, begin, cut, language, max_s),
                *_clauses(text, cut, end, language, max_s),
            ]
    return [(begin, end)]


def clause_ends(text: str) -> tuple[list[int], list[int]]:
    """Where a long sentence may be cut: behind semicolons, colons and dashes, and behind commas."""
    strong, weak = ([mark.end() for mark in marks.finditer(text)] for marks in (_STRONG, _WEAK))
    return strong, weak


def _with_words(text: str, spans: list[Span]) -> list[Span]:
    """A span without a letter or a digit goes with the one before it, or else behind it."""
    kept: list[Span] = []
    for begin, end in spans:
        if kept and not (is_spoken(text[begin:end]) and is_spoken(text[slice(*kept[-1])])):
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((begin, end))
    return kept


@lru_cache(maxsize=32)
def _segmenter(language: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in its source, when it is compiled
        import pysbd
        from pysbd.languages import LANGUAGE_CODES
    primary = primary_subtag(language)
    return pysbd.Segmenter(language=primary if primary in LANGUAGE_CODES else "en", clean=False)
