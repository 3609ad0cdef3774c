"""When each word is said: the best path of a text through the emissions of a CTC model. Pure.

The path is torchaudio's `forced_align` (Viterbi over the CTC topology: Graves et al. 2006; Kuerzinger et al.
2020, arXiv:2007.09127).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torchaudio.functional import forced_align, merge_tokens

from pipeline.errors import RowError
from pipeline.metrics.normalizers import normalizer_for

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc", "'"))


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The model's characters and their ids. `delimiter` stands between words, where the model has one."""

    ids: Mapping[str, int]
    blank: int
    delimiter: int | None = None

    def id_of(self, char: str) -> int | None:
        """Of the character, in another case or without its marks if the model knows it so alone."""
        base = unicodedata.normalize("NFD", char)[0]
        for known in (char, char.upper(), char.lower(), base, base.upper(), base.lower()):
            if known in self.ids:
                return self.ids[known]
        return None


@dataclass(frozen=True, slots=True)
class SpelledWord:
    """A word without the punctuation around it, and as ids of the alphabet.

    `written` is the text from the word to the next one, spaces too: put together, all of them are the text.
    """

    written: str
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimedWord:
    """`probability` is the geometric mean that the model gives the word's frames."""

    written: str
    text: str
    start_s: float
    end_s: float
    probability: float


def spell(text: str, language: str, alphabet: Alphabet) -> list[SpelledWord]:
    """The text's words; in languages that do not part them, its characters.

    Punctuation is not aligned. Raises RowError `text_not_in_alphabet` for a letter or digit that the model
    does not know, since it would be heard as something else, and for a text without any.
    """
    # not by its unit: Korean is judged by characters, and parts its words
    parts_words = " " in normalizer_for(language)("a b")
    begins: list[int] = []
    spelled: list[tuple[str, tuple[int, ...]]] = []
    for match in re.finditer(r"\S+" if parts_words else r"\S", text):
        if ids := tuple(_ids(match[0], alphabet)):
            begins.append(_before_what_opens(text, match.start()))
            spelled.append((_bare(match[0]), ids))
    if not spelled:
        raise RowError("text_not_in_alphabet", f"no character of {text!r} is one of the aligning model's")
    bounds = pairwise([0, *begins[1:], len(text)])
    return [
        SpelledWord(text[begin:end], bare, ids)
        for (begin, end), (bare, ids) in zip(bounds, spelled, strict=True)
    ]


def align(
    log_probs: torch.Tensor, words: Sequence[SpelledWord], alphabet: Alphabet, duration_s: float
) -> list[TimedWord]:
    """The words' times, from log probabilities [T x V] of a clip of that length.

    Raises RowError `speech_too_short` where the text does not fit into the frames.
    """
    targets: list[int] = []
    owners: list[int | None] = []  # the word that each target is of
    for number, word in enumerate(words):
        if number and alphabet.delimiter is not None:
            targets.append(alphabet.delimiter)
            owners.append(None)
        targets += word.ids
        owners += [number] * len(word.ids)
    frames = log_probs.shape[0]
    repeats = sum(a == b for a, b in pairwise(targets))
    if len(targets) + repeats > frames:
        raise RowError("speech_too_short", f"{len(targets)} characters do not fit into {duration_s:.2f} s")
    path, scores = forced_align(
        log_probs.float().unsqueeze(0), torch.tensor([targets], dtype=torch.int32), blank=alphabet.blank
    )
    spans = merge_tokens(path[0], scores[0], alphabet.blank)
    frame_s = duration_s / frames
    timed = []
    for number, word in enumerate(words):
        own = [span for span, owner in zip(spans, owners, strict=True) if owner == number]
        length = sum(span.end - span.start for span in own)
        mean = sum(span.score * (span.end - span.start) for span in own) / length
        start_s, end_s = own[0].start * frame_s, own[-1].end * frame_s
        timed.append(TimedWord(word.written, word.text, start_s, end_s, math.exp(mean)))
    return timed


def _ids(written: str, alphabet: Alphabet) -> Iterator[int]:
    for char in unicodedata.normalize("NFC", written.translate(_APOSTROPHES)):
        is_said = unicodedata.category(char)[0] in "LN"
        known = alphabet.id_of(char) if is_said or char == "'" else None
        if known is not None:
            yield known
        elif is_said:
            raise RowError("text_not_in_alphabet", f"the aligning model knows no {char!r} ({written!r})")


def _before_what_opens(text: str, at: int) -> int:
    """The place before the quotation marks and brackets that stand right before `at`."""
    while at and unicodedata.category(text[at - 1]) in ("Ps", "Pi"):
        at -= 1
    return at


def _bare(written: str) -> str:
    """Without what is no letter, digit or mark at either end."""
    keep = [i for i, c in enumerate(written) if unicodedata.category(c)[0] in "LNM"]
    return written[keep[0] : keep[-1] + 1] if keep else written
