"""What a format is: it takes utterances one by one, and holds no more than a shard of each split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection
from typing import ClassVar

from pipeline.dataset.card import Card
from pipeline.dataset.selection import Utterance
from pipeline.storage import Store

SPLIT = r"[A-Za-z][A-Za-z0-9_]*"


class Exporter(ABC):
    """Writes one export. `files` are the keys it writes, as a regular expression."""

    name: ClassVar[str]
    files: ClassVar[str]

    def __init__(self, store: Store) -> None:
        self.store = store
        self.left_out: Counter[str] = Counter()  # rows that the format cannot hold, by reason

    @abstractmethod
    def add(self, utterance: Utterance) -> None:
        """Takes the next row. Raises StorageError."""

    @abstractmethod
    def finish(self) -> None:
        """Writes what is still held."""

    @abstractmethod
    def how_to_load(self, split: str) -> str:
        """Lines of Python for the card, with one of the splits as an example. Asked when all is written."""

    def head(self, card: Card, splits: Collection[str]) -> str:
        """What stands before the card."""
        return ""
