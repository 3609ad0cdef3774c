"""Which words differ between what was asked and what was heard, for a person to see at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jiwer

from pipeline.metrics.normalizers import NORMALIZERS, Normalizer, normalizer_for

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the alignment. `asked` is empty for an insertion, `heard` for a deletion."""

    kind: Kind
    asked: str
    heard: str


def normalizer_of(normalizer_id: str | None, language: str | None) -> Normalizer:
    """The normaliser that a row was scored with; the language's own where this version lacks it."""
    for normalizer in NORMALIZERS.values():
        if normalizer.id == normalizer_id:
            return normalizer
    return normalizer_for(language or "und")


def align(asked: str, heard: str, normalizer: Normalizer) -> list[Piece]:
    """A minimal alignment of the normalised texts, in words or, where that is the unit, in characters."""
    of_words = normalizer.unit == "word"
    reference, hypothesis = _units(normalizer(asked), of_words), _units(normalizer(heard), of_words)
    joint = " " if of_words else ""
    if not reference or not hypothesis:
        kind: Kind = "delete" if reference else "insert"
        return [Piece(kind, joint.join(reference), joint.join(hypothesis))] if reference or hypothesis else []
    process = jiwer.process_words if of_words else jiwer.process_characters
    [chunks] = process(joint.join(reference), joint.join(hypothesis)).alignments
    return [
        Piece(
            chunk.type,
            joint.join(reference[chunk.ref_start_idx : chunk.ref_end_idx]),
            joint.join(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    ]


def _units(text: str, of_words: bool) -> list[str]:
    # characters as they are scored: without the spaces
    return text.split() if of_words else list("".join(text.split()))
