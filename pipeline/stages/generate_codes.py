"""ChatMLSample -> GeneratedCodes: the model speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipeline.engine.base import Engine, GenerationItem
from pipeline.errors import RowError
from pipeline.records import GeneratedCodes, Row, bytes_of
from pipeline.stages.each_row import each_batch
from pipeline.stages.pack_sample import sample_of

STAGE = "generate_codes"


def generate_codes(rows: Sequence[Row], engine: Engine) -> list[Row]:
    """The rows that are not failed yet, with their codes; `engine` may serve other callers meanwhile."""

    def speak(batch: list[Row]) -> Sequence[GeneratedCodes | RowError]:
        return engine.speak([generation_item(row) for row in batch])

    return each_batch(rows, STAGE, speak, lambda row, codes: row | code_columns(codes))


def generation_item(row: Row) -> GenerationItem:
    return GenerationItem(
        utterance_id=row["utterance_id"],
        sample=sample_of(row),
        seed=row["seed"],
        temperature=row["temperature"],
        top_p=row["top_p"],
        top_k=row["top_k"],
        follows=row["follows"],
    )


def code_columns(generated: GeneratedCodes) -> Row:
    data = bytes_of(generated.codes)
    return {
        "take": 0,
        "engine_s": generated.engine_s,
        "finish_reason": generated.finish_reason,
        "codes": data,
        "codes_shape": list(generated.codes.shape),
        "codes_dtype": str(generated.codes.dtype),
        "codes_sha256": hashlib.sha256(data).hexdigest(),
    }
