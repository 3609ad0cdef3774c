"""Tracks as FLAC files, written a block at a time: hours of sound are never whole in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.audio import to_int16
from pipeline.storage import Store


def put_flac(
    store: Store, key: str, blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int, channels: int = 1
) -> None:
    """Stores a 16-bit FLAC file of blocks [N] or [N, channels]; what is beyond full scale is clipped.

    Raises StorageError.
    """
    with tempfile.TemporaryDirectory(prefix="voicemill-") as folder:
        made = Path(folder) / "track.flac"
        with soundfile.SoundFile(made, "w", sample_rate, channels, "PCM_16", format="FLAC") as file:
            for block in blocks:
                file.write(to_int16(block))
        store.put_file(key, made)
