"""audio_uri -> audio: what exists already, for `score`.

`FILE.parquet#N` is manifest row N in the shard of a finished run, anything else an audio file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import pyarrow.parquet as pq

from pipeline.audio import decode_audio
from pipeline.errors import RowError
from pipeline.records import Row
from pipeline.stages.decode_codes import utterance_columns
from pipeline.stages.each_row import each_row
from pipeline.storage import read_uri

STAGE = "load_utterance"
_MAX_SHARD_BYTES = 2 * 2**30


def load_utterances(rows: Sequence[Row], max_bytes: int, max_duration_s: float) -> list[Row]:
    shard = lru_cache(maxsize=2)(_shard_audio)

    def load(row: Row) -> Row:
        uri, _, name = row["audio_uri"].rpartition(".parquet#")
        if uri:
            data = shard(f"{uri}.parquet").get(name)
            if data is None:
                raise RowError("uri_not_found", f"{uri}.parquet has no audio for row {name}")
        else:
            data = read_uri(row["audio_uri"], max_bytes)
        waveform = decode_audio(data, max_duration_s=max_duration_s)
        return row | utterance_columns(row, waveform)

    return each_row(rows, STAGE, load)


def _shard_audio(uri: str) -> dict[str, bytes | None]:
    """Manifest row number -> audio bytes of a result shard."""
    table = pq.read_table(io.BytesIO(read_uri(uri, _MAX_SHARD_BYTES)), columns=["row", "audio"])
    return {str(row["row"]): row["audio"] and row["audio"]["bytes"] for row in table.to_pylist()}
