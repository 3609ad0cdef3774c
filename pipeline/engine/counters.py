"""Work that an engine has done: what tests assert and metrics show, never clocks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the engine was built. The all-BOS frame of a row takes no step and is not counted."""

    steps: int = 0
    frames: int = 0  # said by rows that ended
    rows: int = 0
    prefill_tokens: int = 0
    padding_tokens: int = 0  # prefilled beside them, for nothing
    prompt_tokens: int = 0  # what prefill would have been without sharing voices
    voices_prefilled: int = 0

    def slot_use(self, num_slots: int) -> float:
        """Frames per slot and step: 1 where no slot ever stood still."""
        return self.frames / (self.steps * num_slots) if self.steps else 0.0
