"""hypothesis and target text -> WER and CER with their counts."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.metrics.error_rates import char_errors, error_rate, word_errors
from pipeline.metrics.normalizers import normalizer_for
from pipeline.records import Row
from pipeline.stages.each_row import each_row

STAGE = "score_utterance"
PROTOCOL = "voicemill/1"  # our normalisers, per-utterance rates, counts kept


def score_utterances(rows: Sequence[Row], transcriber: str, speaker_encoder: str) -> list[Row]:
    """`transcriber` and `speaker_encoder` are the ids that stand beside every number."""

    def score(row: Row) -> Row:
        normalizer = normalizer_for(row["language"])
        made = row | {
            "transcriber": transcriber,
            "speaker_encoder": speaker_encoder,
            "normalizer": normalizer.id,
            "protocol": PROTOCOL,
        }
        if row.get("hypothesis") is None:
            return made
        reference, hypothesis = normalizer(row["target_text"]), normalizer(row["hypothesis"])
        words = word_errors(reference, hypothesis)
        chars = char_errors(reference, hypothesis, spaces=normalizer.unit == "word")
        return made | {
            "wer": error_rate(words),
            "wer_substitutions": words.substitutions,
            "wer_deletions": words.deletions,
            "wer_insertions": words.insertions,
            "wer_reference_words": words.reference_length,
            "cer": error_rate(chars),
            "cer_substitutions": chars.substitutions,
            "cer_deletions": chars.deletions,
            "cer_insertions": chars.insertions,
            "cer_reference_chars": chars.reference_length,
        }

    return each_row(rows, STAGE, score)
