"""audio -> similarity to the reference voice, of the clip and of its least similar window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, decode_audio, resample
from pipeline.evaluators.base import SpeakerEmbedding, SpeakerEncoder
from pipeline.metrics.drift import lowest_similarity, windows
from pipeline.metrics.similarity import cosine
from pipeline.records import Row
from pipeline.stages.each_row import each_batch

STAGE = "embed_speaker"


def embed_speaker(rows: Sequence[Row], encoder: SpeakerEncoder) -> list[Row]:
    """Clips and windows of all rows in one call of the encoder."""

    def embed(batch: list[Row]) -> list[list[SpeakerEmbedding]]:
        cut = [_clip_and_windows(row) for row in batch]
        embedded = iter(encoder.embed([waveform for waveforms in cut for waveform in waveforms]))
        return [list(islice(embedded, len(waveforms))) for waveforms in cut]

    return each_batch(rows, STAGE, embed, _merge)


def _clip_and_windows(row: Row) -> list[Waveform]:
    # at the rate that speaker encoders take, so that a clip is resampled once and not with each window
    clip = resample(decode_audio(row["audio"]["bytes"]), WHISPER_SAMPLE_RATE)
    return [clip] if row["prompt_embedding"] is None else [clip, *windows(clip)]


def _merge(row: Row, embeddings: list[SpeakerEmbedding]) -> Row:
    clip, *parts = embeddings
    if row["prompt_embedding"] is None:
        return row | _unscored(row, "similarity: no speaker embedding of the reference")
    if clip.vector is None:
        return row | _unscored(row, f"similarity: {clip.unscored_reason}")
    reference = np.asarray(row["prompt_embedding"], np.float32)
    return row | {
        "similarity": cosine(reference, clip.vector),
        "similarity_window_min": lowest_similarity(reference, [part.vector for part in parts]),
    }


def _unscored(row: Row, reason: str) -> Row:
    reasons = [row.get("unscored_reason"), reason]
    return {"similarity": None, "unscored_reason": "; ".join(r for r in reasons if r)}
