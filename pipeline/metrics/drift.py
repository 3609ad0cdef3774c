"""Identity drift: whether some stretch of a clip leaves the voice that the whole of it has. Pure.

A short window is less like any voice than a long clip is: compare `similarity_window_min` among clips, never
with `similarity`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform
from pipeline.metrics.silence import FRAME_S, frame_samples, speech_frames
from pipeline.metrics.similarity import cosine

WINDOW_S, HOP_S = 1.6, 0.8
SHORTEST_S = 2 * WINDOW_S
_SPEECH_SHARE = 0.5  # a window that is mostly pause says nothing about the voice


def windows(waveform: Waveform) -> list[Waveform]:
    """Cuts of `WINDOW_S`, evenly from the clip's start to its end, `HOP_S` apart or a little less.

    Those that are speech for less than half are left out. A clip shorter than `SHORTEST_S` has none: two
    windows that do not overlap are the least that can differ.
    """
    if waveform.duration_s < SHORTEST_S:
        return []
    frames = speech_frames(waveform)
    length, hop, frame = (
        round(WINDOW_S / FRAME_S),
        round(HOP_S / FRAME_S),
        frame_samples(waveform.sample_rate),
    )
    last = len(waveform.samples) // frame - length  # whole frames: all windows have one length
    starts = np.linspace(0, last, 1 + math.ceil(last / hop)).round().astype(int).tolist()
    return [
        Waveform(waveform.samples[start * frame : (start + length) * frame], waveform.sample_rate)
        for start in starts
        if frames[start : start + length].mean() >= _SPEECH_SHARE
    ]


def lowest_similarity(
    reference: npt.NDArray[np.floating], embeddings: Iterable[npt.NDArray[np.floating] | None]
) -> float | None:
    """The least cosine of the windows to the reference [D]; None without any that has an embedding."""
    return min((cosine(reference, each) for each in embeddings if each is not None), default=None)
