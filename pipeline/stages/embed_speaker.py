"""audio -> similarity to the reference voice and to the ground truth, and of its least similar window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipeline.audio import WHISPER_SAMPLE_RATE, Waveform, decode_audio, resample
from pipeline.evaluators.base import SpeakerEmbedding, SpeakerEncoder
from pipeline.metrics.drift import lowest_similarity, windows
from pipeline.metrics.similarity import cosine
from pipeline.records import Row
from pipeline.stages.each_row import each_batch

STAGE = "embed_speaker"
Vector = npt.NDArray[np.float32]


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
    reference = _vector(row["prompt_embedding"])
    row = row | _compared(row, "similarity", "similarity", reference, clip)
    if row["similarity"] is not None and reference is not None:
        row["similarity_window_min"] = lowest_similarity(reference, [part.vector for part in parts])
    if row.get("ground_truth_id") is None:
        return row
    ground_truth = _vector(row.get("ground_truth_embedding"))
    return row | _compared(row, "similarity_ground_truth", "ground truth", ground_truth, clip)


def _compared(row: Row, column: str, about: str, voice: Vector | None, clip: SpeakerEmbedding) -> Row:
    """`column`, or why it is null behind what the row says already."""
    if voice is not None and clip.vector is not None:
        return {column: cosine(voice, clip.vector)}
    of = "it" if about == "ground truth" else "the reference"
    reason = f"no speaker embedding of {of}" if voice is None else clip.unscored_reason
    reasons = [row.get("unscored_reason"), f"{about}: {reason}"]
    return {column: None, "unscored_reason": "; ".join(r for r in reasons if r)}


def _vector(embedding: Sequence[float] | None) -> Vector | None:
    return None if embedding is None else np.asarray(embedding, np.float32)
