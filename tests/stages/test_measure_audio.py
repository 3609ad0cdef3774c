from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio import Waveform, encode_flac
from pipeline.records import SCORED_ROW, Row, to_table
from pipeline.stages.measure_audio import measure_audio

RATE = 24_000


def row_of(samples: np.ndarray) -> Row:
    data = encode_flac(Waveform(samples.astype(np.float32), RATE))
    return {"row": 1, "utterance_id": "u1", "audio": {"bytes": data, "path": "u1.flac"}}


def test_by_hand() -> None:
    # 0.5 s of silence, 1 s of a square wave at half scale of which a tenth is at full scale, 0.5 s of silence
    wave = np.where(np.arange(RATE) // 30 % 2, 0.5, -0.5)
    wave[: RATE // 10] *= 2.0
    [made] = to_table(measure_audio([row_of(np.pad(wave, RATE // 2))]), SCORED_ROW).to_pylist()
    assert made["leading_silence_s"] == pytest.approx(0.5, abs=0.021)
    assert made["trailing_silence_s"] == pytest.approx(0.5, abs=0.021)
    assert made["speech_ratio"] == pytest.approx(0.5, abs=0.021)  # an edge is a frame's at most
    assert made["peak_dbfs"] == pytest.approx(0.0, abs=1e-3)
    # power (0.1 * 1 + 0.9 * 0.25) / 2 s = 0.1625
    assert made["rms_dbfs"] == pytest.approx(10 * np.log10(0.1625), abs=1e-3)
    assert made["clipped_fraction"] == pytest.approx(0.05)


def test_silence_has_numbers_too() -> None:
    [made] = measure_audio([row_of(np.zeros(RATE))])
    names = ("leading_silence_s", "trailing_silence_s", "speech_ratio", "rms_dbfs", "peak_dbfs")
    assert [made[name] for name in names] == [1.0, 0.0, 0.0, -120.0, -120.0]


def test_a_failed_row_passes_untouched_and_bad_bytes_fail_their_own_row() -> None:
    bad = row_of(np.zeros(10)) | {"audio": {"bytes": b"no audio", "path": None}}
    failed = {"row": 2, "utterance_id": "u2", "failed_stage": "check_prompt", "audio": None}
    out = measure_audio([bad, failed, row_of(np.zeros(10))])
    assert (out[0]["failed_stage"], out[0]["error_code"]) == ("measure_audio", "audio_unreadable")
    assert out[1] == failed
    assert out[2]["speech_ratio"] == 0.0
