"""Tracks as FLAC files, written and read a block at a time."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.audio import to_int16


def flac_bytes(blocks: Iterable[npt.NDArray[np.float32]], sample_rate: int, channels: int = 1) -> bytes:
    """A 16-bit FLAC file of blocks [N] or [N, channels], not all empty; beyond full scale it is clipped."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, channels, "PCM_16", format="FLAC") as file:
        for block in blocks:
            file.write(to_int16(block))
    return buffer.getvalue()
