"""audio_uri -> audio: what exists already, for `score`.

`FILE.parquet#N` is manifest row N in the shard of a finished run, anything else an audio file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audio import Waveform
from pipeline.decoding import decode_untrusted
from pipeline.errors import RowError
from pipeline.records import Row
from pipeline.sources import read_source
from pipeline.stages.decode_codes import utterance_columns
from pipeline.stages.each_row import each_row
from pipeline.uri_rules import PUBLIC_ONLY, UriRules
from pipeline.uris import shown

STAGE = "load_utterance"
_MAX_SHARD_BYTES = 2 * 2**30


def load_utterances(
    rows: Sequence[Row], max_bytes: int, max_duration_s: float, rules: UriRules = PUBLIC_ONLY
) -> list[Row]:
    @lru_cache(maxsize=2)
    def shard(uri: str) -> dict[str, bytes | None]:
        return _shard_audio(uri, rules)

    def load(row: Row) -> Row:
        uri, _, name = row["audio_uri"].rpartition(".parquet#")
        if uri:
            data = shard(f"{uri}.parquet").get(name)
            if data is None:
                raise RowError("uri_not_found", f"{shown(uri)}.parquet has no audio for row {name}")
        else:
            data = read_source(row["audio_uri"], max_bytes, rules)
        return row | utterance_columns(row, _all_finite(decode_untrusted(data, max_duration_s)))

    return each_row(rows, STAGE, load)


def _all_finite(waveform: Waveform) -> Waveform:
    """No evaluator can say anything of a NaN."""
    if not np.isfinite(waveform.samples).all():
        raise RowError("audio_nan", "it holds samples that are NaN or infinite; write the file again")
    return waveform


def _shard_audio(uri: str, rules: UriRules) -> dict[str, bytes | None]:
    """Manifest row number -> audio bytes of a result shard."""
    file = io.BytesIO(read_source(uri, _MAX_SHARD_BYTES, rules))
    try:
        table = pq.ParquetFile(file).read(["row", "audio"]).select(["row", "audio"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RowError("audio_unreadable", f"{shown(uri)} is no shard of a run; name one") from error
    return {str(row["row"]): row["audio"] and row["audio"]["bytes"] for row in table.to_pylist()}
