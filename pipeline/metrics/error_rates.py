"""Word and character error counts of one utterance, and their rate.

Both texts must have been normalised by the same normaliser. In languages that write no spaces the
characters are the words: use `char_errors` (Seed-TTS calls that rate WER for Chinese).
"""

from __future__ import annotations

import jiwer

from pipeline.records import ErrorCounts


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Edit operations of a minimal alignment of whitespace-separated words."""
    return _counts(jiwer.process_words(_single_spaced(reference), _single_spaced(hypothesis)))


def char_errors(reference: str, hypothesis: str, *, spaces: bool = True) -> ErrorCounts:
    """Edit operations of a minimal alignment of code points.

    A run of whitespace is one character, as in jiwer and NeMo; with `spaces=False` it is none, which is
    the convention where the character is the primary unit (zh, ja, ko, th).
    """
    reference, hypothesis = _single_spaced(reference), _single_spaced(hypothesis)
    if not spaces:
        reference, hypothesis = reference.replace(" ", ""), hypothesis.replace(" ", "")
    return _counts(jiwer.process_characters(reference, hypothesis))


def error_rate(counts: ErrorCounts) -> float | None:
    """(S + D + I) / N as a fraction; it may pass 1. None where N is 0 and something was heard."""
    errors = counts.substitutions + counts.deletions + counts.insertions
    if counts.reference_length == 0:
        # jiwer returns the raw number of insertions here, which is no rate
        return None if errors else 0.0
    return errors / counts.reference_length


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> ErrorCounts:
    return ErrorCounts(
        substitutions=output.substitutions,
        deletions=output.deletions,
        insertions=output.insertions,
        reference_length=output.substitutions + output.deletions + output.hits,
    )


def _single_spaced(text: str) -> str:
    # jiwer splits at U+0020 alone; a tab would glue two words
    return " ".join(text.split())
