"""audio -> hypothesis: what the transcriber hears."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio import decode_audio
from pipeline.evaluators.base import Transcriber, Transcript
from pipeline.records import Row
from pipeline.stages.each_row import each_batch

STAGE = "transcribe"


def transcribe(rows: Sequence[Row], transcriber: Transcriber) -> list[Row]:
    def listen(batch: list[Row]) -> list[Transcript]:
        return transcriber.transcribe(
            [decode_audio(row["audio"]["bytes"]) for row in batch], [row["language"] for row in batch]
        )

    return each_batch(rows, STAGE, listen, _merge)


def _merge(row: Row, transcript: Transcript) -> Row:
    return row | {
        "hypothesis": transcript.text,
        "unscored_reason": transcript.unscored_reason,
        "language_heard": transcript.language,
        "language_probability": transcript.language_probability,
        "no_speech_probability": transcript.no_speech_probability,
        "avg_logprob": transcript.avg_logprob,
    }
