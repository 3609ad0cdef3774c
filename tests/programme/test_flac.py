"""Tracks as libsndfile reads them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from pipeline.programme.flac import put_flac
from pipeline.storage import open_store


def test_blocks_are_read_back_whole(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    track = np.linspace(-1, 1, 1001, dtype=np.float32)
    put_flac(store, "stems/a.flac", [track[:400], track[400:]], 44_100)
    samples, rate = soundfile.read(tmp_path / "out/stems/a.flac", dtype="int16")
    assert rate == 44_100
    np.testing.assert_array_equal(samples, np.round(track * 32767).astype(np.int16))
    put_flac(store, "stems/a.flac", [np.stack([track, -2 * track], axis=1)], 48_000, 2)
    samples, _ = soundfile.read(tmp_path / "out/stems/a.flac", dtype="int16")
    assert samples.shape == (1001, 2)
    assert (samples[0].tolist(), samples[-1].tolist()) == ([-32767, 32767], [32767, -32767])
