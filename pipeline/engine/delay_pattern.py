"""The delay pattern of a multi-codebook stream: codebook k speaks k frames late. Pure numpy, any K.

A clip of T frames becomes `[BOS] + codes + [EOS]`, T + 2 columns, and row k is shifted right by k, so
that all K codes of a delayed column can be sampled at once and each still follows the ones below it.
Follows `HiggsAudioV2Processor.build_delay_pattern` and `revert_delay_pattern` of transformers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint16]
Ids = npt.NDArray[np.int64]


def build_delay_pattern(codes: npt.NDArray[Any], bos: int, eos: int) -> Ids:
    """Raw codes [K, T] as the delayed stream [K, T + K + 1], BOS at the left and EOS at the right."""
    num_codebooks, num_frames = codes.shape
    delayed = np.full((num_codebooks, num_frames + num_codebooks + 1), eos, dtype=np.int64)
    for k in range(num_codebooks):
        delayed[k, : k + 1] = bos
        delayed[k, k + 1 : k + 1 + num_frames] = codes[k]
    return delayed


def revert_delay_pattern(delayed: npt.NDArray[Any]) -> Ids:
    """A delayed stream [K, W] as whole columns [K, W - K + 1]; K - 1 columns are not whole.

    BOS and EOS columns come out as columns: `revert(build(codes))[:, 1:-1]` is `codes`.
    """
    num_codebooks, width = delayed.shape
    whole = max(width - num_codebooks + 1, 0)
    return np.stack([delayed[k, k : k + whole] for k in range(num_codebooks)]).astype(np.int64)


def codes_of_frames(frames: npt.NDArray[Any], bos: int, eos: int) -> tuple[Codes, bool]:
    """Generated frames [W, K], the all-BOS one first, as codes [K, T] and whether the stream ended.

    As in `HiggsAudioV2Processor.batch_decode`, the stream ends at the first all-EOS frame and stray BOS
    and EOS are clipped to the last code. One thing is stricter: a column whose first codebook says EOS
    is not audio. transformers keeps such a column, one frame of noise, whenever the codebooks above do
    not all say EOS in the same column.
    """
    whole_eos = np.flatnonzero((frames == eos).all(axis=1))
    if whole_eos.size:
        frames = frames[: whole_eos[0]]
    columns = revert_delay_pattern(frames[1:].T)
    first_eos = np.flatnonzero(columns[0] == eos)
    if first_eos.size:
        columns = columns[:, : first_eos[0]]
    codes = np.clip(columns, 0, min(bos, eos) - 1).astype(np.uint16)
    return codes, bool(whole_eos.size or first_eos.size)
