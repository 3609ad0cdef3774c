"""ChatMLSample -> GeneratedCodes: the model speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipeline.engine.base import Engine, GenerationItem
from pipeline.errors import EngineFatalError
from pipeline.records import GeneratedCodes, Row, bytes_of
from pipeline.stages.each_row import each_batch
from pipeline.stages.pack_sample import sample_of

STAGE = "generate_codes"


def generate_codes(rows: Sequence[Row], engine: Engine) -> list[Row]:
    """The engine yields rows as they finish; they leave here in the order in which they came."""

    def speak(batch: list[Row]) -> list[GeneratedCodes]:
        # the row number tells twins of one id apart
        items = [generation_item(row, str(row["row"])) for row in batch]
        spoken = {codes.utterance_id: codes for codes in engine.generate(items)}
        missing = [item.utterance_id for item in items if item.utterance_id not in spoken]
        if missing:
            raise EngineFatalError(f"the engine lost rows {', '.join(missing)}")
        return [spoken[item.utterance_id] for item in items]

    return each_batch(rows, STAGE, speak, lambda row, codes: row | code_columns(codes))


def generation_item(row: Row, name: str) -> GenerationItem:
    return GenerationItem(
        utterance_id=name,
        sample=sample_of(row),
        seed=row["seed"],
        temperature=row["temperature"],
        top_p=row["top_p"],
        top_k=row["top_k"],
    )


def code_columns(generated: GeneratedCodes) -> Row:
    data = bytes_of(generated.codes)
    return {
        "take": generated.take,
        "finish_reason": generated.finish_reason,
        "codes": data,
        "codes_shape": list(generated.codes.shape),
        "codes_dtype": str(generated.codes.dtype),
        "codes_sha256": hashlib.sha256(data).hexdigest(),
    }
