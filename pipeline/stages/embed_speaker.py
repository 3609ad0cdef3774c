"""audio -> similarity to the reference voice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.audio import decode_audio
from pipeline.evaluators.base import SpeakerEmbedding, SpeakerEncoder
from pipeline.metrics.similarity import cosine
from pipeline.records import Row
from pipeline.stages.each_row import each_batch

STAGE = "embed_speaker"


def embed_speaker(rows: Sequence[Row], encoder: SpeakerEncoder) -> list[Row]:
    def embed(batch: list[Row]) -> list[SpeakerEmbedding]:
        return encoder.embed([decode_audio(row["audio"]["bytes"]) for row in batch])

    return each_batch(rows, STAGE, embed, _merge)


def _merge(row: Row, embedding: SpeakerEmbedding) -> Row:
    reference = row["prompt_embedding"]
    if reference is None:
        return row | _unscored(row, "similarity: no speaker embedding of the reference")
    if embedding.vector is None:
        return row | _unscored(row, f"similarity: {embedding.unscored_reason}")
    return row | {"similarity": cosine(np.asarray(reference, np.float32), embedding.vector)}


def _unscored(row: Row, reason: str) -> Row:
    reasons = [row.get("unscored_reason"), reason]
    return {"similarity": None, "unscored_reason": "; ".join(r for r in reasons if r)}
