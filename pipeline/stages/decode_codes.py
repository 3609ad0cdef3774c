"""GeneratedCodes -> audio: the codec's decoder, then FLAC."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from pipeline.audio import Waveform, encode_flac
from pipeline.codecs.base import Codec
from pipeline.errors import RowError
from pipeline.provenance import with_comments
from pipeline.records import Row, array_of
from pipeline.stages.each_row import each_batch
from pipeline.watermark import PerthWatermark

STAGE = "decode_codes"


def decode_codes(
    rows: Sequence[Row],
    codec: Codec,
    comments: Mapping[str, str],
    watermark: PerthWatermark | None = None,
) -> list[Row]:
    """`comments` of all clips; each has its row's id beside them. The mark comes before anybody listens."""

    def decode(batch: list[Row]) -> list[Waveform | RowError]:
        codes = [array_of(row["codes"], row["codes_shape"], row["codes_dtype"]) for row in batch]
        spoken = [i for i, row_codes in enumerate(codes) if row_codes.shape[1] > 0]
        outcomes: list[Waveform | RowError] = [
            RowError("no_audio_generated", "the model stopped before its first frame; try another seed")
        ] * len(batch)
        for i, waveform in zip(spoken, codec.decode([codes[i] for i in spoken]), strict=True):
            outcomes[i] = waveform
        return outcomes

    def columns(row: Row, waveform: Waveform) -> Row:
        score = None
        if watermark is not None:
            waveform = watermark.embed(waveform)
            score = watermark.detect(waveform)
        fields = {**comments, "UTTERANCE_ID": row["utterance_id"]}
        return row | utterance_columns(row, waveform, fields) | {"watermark_score": score}

    return each_batch(rows, STAGE, decode, columns)


def utterance_columns(row: Row, waveform: Waveform, comments: Mapping[str, str] | None = None) -> Row:
    flac = encode_flac(waveform)
    if comments:
        flac = with_comments(flac, comments)
    return {
        "audio": {"bytes": flac, "path": f"{row['utterance_id']}.flac"},
        "audio_sha256": hashlib.sha256(flac).hexdigest(),
        "sample_rate": waveform.sample_rate,
        "num_samples": len(waveform.samples),
        "duration_s": waveform.duration_s,
    }
