"""Training shards -> conversations in memory, and which of them each step learns from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.errors import ConfigError
from pipeline.records import SAMPLE, Row
from pipeline.stages.pack_sample import sample_of
from pipeline.training.collate import Batch, Conversation, collate, share_prompts, split_sample
from pipeline.training.phones import PHONES_PER_FRAME

_COLUMNS = [name for name in SAMPLE.names if name != "messages"]
PHONES_COLUMN = "label_phones"  # uint8 indices of the target's phones at 100 Hz, in corpora that know them


def tell_phones(folder: Path) -> bool:
    """Whether the first shard has the phones of its targets."""
    shards = sorted(folder.glob("*.parquet"))
    return bool(shards) and PHONES_COLUMN in pq.read_schema(shards[0]).names


def read_conversations(
    folder: Path, prompt_format: PromptFormat, *, max_targets: int = 6, limit: int | None = None
) -> list[Conversation]:
    """Labelled SAMPLE_ROW shards (`*.parquet`, in order of name) as conversations, the first `limit` rows.

    Phones are read where a shard has them.

    Raises ConfigError for no shards, rows without labels and codes of another number of codebooks.
    """
    shards = sorted(folder.glob("*.parquet"))
    if not shards:
        raise ConfigError(f"{folder}: no training shards (*.parquet)")
    found: list[Conversation] = []
    rows = 0
    for shard in shards:
        if limit is not None and rows >= limit:
            break
        optional = [PHONES_COLUMN] if PHONES_COLUMN in pq.read_schema(shard).names else []
        table = pq.read_table(shard, columns=[*_COLUMNS, *optional])
        table = table if limit is None else table.slice(0, limit - rows)
        rows += table.num_rows
        conversations = (_conversation(row, prompt_format, shard) for row in table.to_pylist())
        found += share_prompts(conversations, max_targets)
    return found


def _conversation(row: Row, prompt_format: PromptFormat, shard: Path) -> Conversation:
    try:
        told = row.get(PHONES_COLUMN)
        phones = None if told is None else np.frombuffer(told, np.uint8).reshape(-1, PHONES_PER_FRAME)
        conversation = split_sample(sample_of(row | {"messages": []}), prompt_format, phones)
    except ConfigError as error:
        raise ConfigError(f"{shard}: {error}") from None
    if (given := len(conversation.targets[0].codes)) != prompt_format.num_codebooks:
        raise ConfigError(f"{shard}: {given} codebooks, the model reads {prompt_format.num_codebooks}")
    return conversation


def num_positions(conversation: Conversation) -> int:
    return len(conversation.prompt_ids) + sum(len(target.input_ids) for target in conversation.targets)


class BatchPlan:
    """Conversations in batches of about `positions` positions, all of them once an epoch, reshuffled in each.

    What a step gets depends on `seed`, the step and the conversations alone.
    """

    def __init__(self, conversations: Sequence[Conversation], positions: int, seed: int) -> None:
        self.conversations = conversations
        self.positions = positions
        self.seed = seed
        self._sizes = [num_positions(conversation) for conversation in conversations]
        self._lengths: dict[int, int] = {}
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def at(self, step: int) -> list[Conversation]:
        """The batch of `step`, counted from 0."""
        epoch = 0
        while step >= (length := self._length(epoch)):
            step, epoch = step - length, epoch + 1
        return [self.conversations[i] for i in self._epoch(epoch)[step]]

    def _length(self, epoch: int) -> int:
        if epoch not in self._lengths:
            self._lengths[epoch] = len(self._epoch(epoch))
        return self._lengths[epoch]

    def _draw_epoch(self, epoch: int) -> list[list[int]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.conversations))
        return fill_batches([int(i) for i in order], self._sizes, self.positions)


def fill_batches(order: Sequence[int], sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """`order` cut where `sizes` would sum to more than `capacity`; one that is larger stands alone."""
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if not batches or sizes[index] > room:
            batches.append([])
            room = capacity
        batches[-1].append(index)
        room -= sizes[index]
    return batches


def whole_batches(
    conversations: Sequence[Conversation], prompt_format: PromptFormat, positions: int
) -> list[Batch]:
    """All conversations in their order, for an evaluation."""
    sizes = [num_positions(conversation) for conversation in conversations]
    batches = fill_batches(range(len(sizes)), sizes, positions)
    return [collate([conversations[i] for i in batch], prompt_format) for batch in batches]
