"""Keys and values of voices, prefilled once and copied into the slot of every row that uses them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.engine.chat_prompt import ModelInputs
from pipeline.engine.decoder import KV


class PrefixStore:
    """Least recently used out first, bounded by bytes; the last one used is never put out.

    A prefix is always prefilled alone, found here or not, so that a row's codes do not depend on which.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._held: OrderedDict[str, KV] = OrderedDict()

    def get(self, key: str, make: Callable[[], KV]) -> tuple[KV, bool]:
        """The prefix of `key`, and whether it was made now."""
        made = key not in self._held
        if made:
            self._held[key] = make()
            self.num_bytes += self._held[key].num_bytes
        self._held.move_to_end(key)
        while self.num_bytes > self.max_bytes and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self.num_bytes -= dropped.num_bytes
        return self._held[key], made


def prefix_length(text_only: npt.NDArray[np.bool_]) -> int:
    """How many of the ids [L] are shared by the rows of a voice: up to the last one that is not text.

    `text_only` [L] is False at audio frames and semantic placeholders. What follows is plain text, so a
    row's own part of the prompt never needs the audio branch. 0 for a prompt without a voice.
    """
    others = np.flatnonzero(~text_only)
    return int(others[-1]) + 1 if others.size else 0


def prefix_key(inputs: ModelInputs, length: int) -> str:
    """Everything that the first `length` positions are computed from."""
    digest = hashlib.sha256()
    parts: list[npt.NDArray[Any]] = [inputs.input_ids[:length], inputs.audio_input_ids, *inputs.waveforms]
    for part in parts:
        digest.update(str((part.shape, part.dtype.str)).encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
