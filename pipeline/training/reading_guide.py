"""A nudge to read along: some heads are asked to look near the letters that are being spoken.

The guided attention of Tachibana et al. (2017, arXiv:1710.08969), as a likelihood: the share of a head's
attention that falls on the text, weighed by a bell around where the reader should be, should be large;
within the bell's flat top the model finds the letter itself. Where the phones of a clip are known, the
reader is as far in the text as in the phones; else it reads evenly. Without it a small model takes
thousands of steps to find out that the text is what it says. It costs nothing at inference, where the
model is transformers' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from pipeline.training.phones import PAUSE

HEADS = 2  # of the guided layer, the first ones
FREE_EVEN, FREE_KNOWN = 0.08, 0.03  # how far off a letter may be at no cost, as a share of the text
WIDTH = 0.04  # standard deviation of what is further off
QUIET_FRAMES = 2.5  # clips begin and end with a tenth of a second of silence


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a target has its text and its frames, counted from its own start.

    `progress` [T] is the share of the text that has been read by the middle of each frame, `free` how far
    from there a letter may be at no cost.
    """

    text: tuple[int, int]
    first_column: int
    progress: npt.NDArray[np.float32]
    free: float = FREE_EVEN


@dataclass(slots=True)
class ReadingGuide:
    """Collects what the guided heads of `layer` see in a forward pass; `loss` is their mean."""

    readings: Sequence[Reading]
    layer: int
    found: list[torch.Tensor] = field(default_factory=list)

    def look(
        self, number: int, query: torch.Tensor, key: torch.Tensor, visible: torch.Tensor, scale: float
    ) -> None:
        """Target `number`: query [1, H, L, D], key [1, H, P + L, D], visible [L, P + L]."""
        reading = self.readings[number]
        columns = slice(reading.first_column, reading.first_column + len(reading.progress))
        prompt = key.shape[2] - query.shape[2]
        scores = query[0, :HEADS, columns] @ key[0, :HEADS].transpose(1, 2) * scale
        scores = scores.masked_fill(~visible[columns], float("-inf"))
        start, end = reading.text
        near = near_reading(torch.from_numpy(reading.progress), end - start, reading.free).to(query.device)
        text = scores[..., prompt + start : prompt + end] + near
        self.found.append((scores.logsumexp(-1) - text.logsumexp(-1)).mean())

    def loss(self) -> torch.Tensor:
        return torch.stack(self.found).mean()


def even_progress(num_frames: int) -> npt.NDArray[np.float32]:
    """Progress [T] of one who reads evenly between the silences."""
    frames = np.arange(num_frames, dtype=np.float32) + 0.5
    progress = (frames - QUIET_FRAMES) / max(num_frames - 2 * QUIET_FRAMES, 1.0)
    return np.asarray(np.clip(progress, 0, 1), np.float32)


def phone_progress(phones: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Progress [T] through the phones [T, P] that each frame says; a pause is between its neighbours."""
    labels = phones.reshape(-1)
    spoken = labels != PAUSE
    begins = spoken & (labels != np.concatenate([[PAUSE], labels[:-1]]))
    total = max(int(begins.sum()), 1)
    progress = (np.cumsum(begins) - 0.5 * spoken) / total
    middle = phones.shape[1] // 2
    return np.asarray(progress.reshape(phones.shape)[:, middle], np.float32)


def near_reading(progress: torch.Tensor, num_letters: int, free: float) -> torch.Tensor:
    """Logarithm [T, N] of a bell, 1 over its flat top, around the letter that a reader [T] is at."""
    letters = (torch.arange(num_letters) + 0.5) / num_letters
    off = ((progress[:, None] - letters).abs() - free).clamp(min=0)
    return -(off**2) / (2 * WIDTH**2)
