"""A nudge to read along: some heads are asked to look near the letters that are being spoken.

The guided attention of Tachibana et al. (2017, arXiv:1710.08969), as a likelihood: the share of a head's
attention that falls on the text, weighed by a bell around where an even reading would be, should be
large; within the bell's flat top the model finds the letter itself. Without it a small model takes
thousands of steps to find out that the text is what it says. It costs nothing at inference, where the
model is transformers' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch

HEADS = 2  # of the guided layer, the first ones
FREE = 0.08  # how far a letter may be from an even reading's place at no cost, as a share of the text
WIDTH = 0.05  # standard deviation of what is further off
QUIET_FRAMES = 2.5  # clips begin and end with a tenth of a second of silence


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a target has its text and its frames, counted from its own start."""

    text: tuple[int, int]
    first_column: int
    num_frames: int


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
        columns = slice(reading.first_column, reading.first_column + reading.num_frames)
        prompt = key.shape[2] - query.shape[2]
        scores = query[0, :HEADS, columns] @ key[0, :HEADS].transpose(1, 2) * scale
        scores = scores.masked_fill(~visible[columns], float("-inf"))
        start, end = reading.text
        near = even_reading(reading.num_frames, end - start, query.device)
        text = scores[..., prompt + start : prompt + end] + near
        self.found.append((scores.logsumexp(-1) - text.logsumexp(-1)).mean())

    def loss(self) -> torch.Tensor:
        return torch.stack(self.found).mean()


@lru_cache(maxsize=4096)
def even_reading(num_frames: int, num_letters: int, device: torch.device) -> torch.Tensor:
    """Logarithm [T, N] of a bell, 1 over its flat top, around the letter that an even reader is at."""
    frames = torch.arange(num_frames, device=device) + 0.5
    spoken = max(num_frames - 2 * QUIET_FRAMES, 1.0)
    progress = ((frames - QUIET_FRAMES) / spoken).clamp(0, 1)
    letters = (torch.arange(num_letters, device=device) + 0.5) / num_letters
    off = ((progress[:, None] - letters).abs() - FREE).clamp(min=0)
    return -(off**2) / (2 * WIDTH**2)
