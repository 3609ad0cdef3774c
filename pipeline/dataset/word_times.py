"""When each word is said: the best path of a text through the emissions of a CTC model. Pure.

The path is torchaudio's `forced_align` (Viterbi over the CTC topology: Graves et al. 2006; Kuerzinger et al.
2020, arXiv:2007.09127).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
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
    """A word as it stands in the text, without the punctuation around it, and as ids of the alphabet."""

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
    by_char = normalizer_for(language).unit == "char"
    found: list[SpelledWord] = []
    for written in list(text.replace(" ", "")) if by_char else text.split():
        ids: list[int] = []
        for char in unicodedata.normalize("NFC", written.translate(_APOSTROPHES)):
            known = alphabet.id_of(char) if char == "'" or unicodedata.category(char)[0] in "LN" else None
            if known is not None:
                ids.append(known)
            elif unicodedata.category(char)[0] in "LN":
                raise RowError("text_not_in_alphabet", f"the aligning model knows no {char!r} ({written!r})")
        if ids:
            found.append(SpelledWord(written, _bare(written), tuple(ids)))
    if not found:
        raise RowError("text_not_in_alphabet", f"no character of {text!r} is one of the aligning model's")
    return found


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


def _bare(written: str) -> str:
    """Without what is no letter, digit or mark at either end."""
    keep = [i for i, c in enumerate(written) if unicodedata.category(c)[0] in "LNM"]
    return written[keep[0] : keep[-1] + 1] if keep else written
