"""Which row goes into a slot next: of the oldest batch, the longest whose voice can be held."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """Rows in the order in which slots take them.

    An older batch goes before a younger one, so that no row waits for ever behind longer ones. Within a
    batch the longest goes first: the slots that are empty at the end wait for short rows then. Voices are
    taken in groups that `voice_bytes` hold at once, one group after another, so that each is prefilled once.
    """

    def __init__(self, voice_bytes: int) -> None:
        self._voice_bytes = voice_bytes
        self._heap: list[tuple[int, int, int, int, Item]] = []
        self._arrivals = count()
        self._groups: dict[int, dict[str, int]] = {}  # batch -> voice -> group
        self._sizes: dict[int, list[int]] = {}  # batch -> bytes of each group's voices

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, item: Item, *, batch: int, voice: str, num_bytes: int, frames: int) -> None:
        """`num_bytes` is the size of the voice's prefix."""
        groups, sizes = self._groups.setdefault(batch, {}), self._sizes.setdefault(batch, [0])
        if voice not in groups:
            if sizes[-1] and sizes[-1] + num_bytes > self._voice_bytes:
                sizes.append(0)
            sizes[-1] += num_bytes
            groups[voice] = len(sizes) - 1
        heapq.heappush(self._heap, (batch, groups[voice], -frames, next(self._arrivals), item))

    def pop(self) -> Item:
        """IndexError if there is none."""
        batch, *_, item = heapq.heappop(self._heap)
        if not self._heap or self._heap[0][0] != batch:
            self._groups.pop(batch)
            self._sizes.pop(batch)
        return item
