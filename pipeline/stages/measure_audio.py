"""audio -> what its samples tell without a model: level, clipping, silence at the edges, share of speech."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio import clipped_fraction, decode_audio, peak_dbfs, rms_dbfs
from pipeline.metrics.silence import edge_silences_s, speech_frames
from pipeline.records import Row
from pipeline.stages.each_row import each_row

STAGE = "measure_audio"


def measure_audio(rows: Sequence[Row]) -> list[Row]:
    return each_row(rows, STAGE, _measure)


def _measure(row: Row) -> Row:
    waveform = decode_audio(row["audio"]["bytes"])
    frames = speech_frames(waveform)
    leading, trailing = edge_silences_s(frames, waveform.duration_s)
    return row | {
        "leading_silence_s": leading,
        "trailing_silence_s": trailing,
        "speech_ratio": float(frames.mean()),
        "rms_dbfs": rms_dbfs(waveform.samples),
        "peak_dbfs": peak_dbfs(waveform.samples),
        "clipped_fraction": clipped_fraction(waveform.samples),
    }
