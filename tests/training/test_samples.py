"""Shards become conversations, and every conversation has its turn in every epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dummies import mini_format, random_samples, write_samples

from pipeline.errors import ConfigError
from pipeline.training.samples import (
    BatchPlan,
    fill_batches,
    num_positions,
    read_conversations,
    tell_phones,
    whole_batches,
)


def test_shards_are_read_back_as_conversations(tmp_path: Path) -> None:
    prompt_format = mini_format(tmp_path / "format")
    samples = random_samples(prompt_format, 2, 3)
    write_samples(tmp_path / "shards", samples)
    conversations = read_conversations(tmp_path / "shards", prompt_format, max_targets=2)
    assert [len(c.targets) for c in conversations] == [2, 1, 2, 1]
    assert np.array_equal(conversations[3].targets[0].codes, samples[5].label_audio_ids)
    assert np.array_equal(
        conversations[3].clips[0], samples[5].audio_ids_concat[:, : samples[5].audio_ids_start[1]]
    )
    few = read_conversations(tmp_path / "shards", prompt_format, limit=4)
    assert [len(c.targets) for c in few] == [3, 1]
    batches = whole_batches(conversations, prompt_format, 10_000)
    assert [b.num_positions for b in batches] == [sum(map(num_positions, conversations))]


def test_phones_come_with_the_shards_that_have_them(tmp_path: Path) -> None:
    prompt_format = mini_format(tmp_path / "format")
    samples = random_samples(prompt_format, 1, 2)
    write_samples(tmp_path / "shards", samples)
    shard = tmp_path / "shards" / "00000.parquet"
    assert not tell_phones(tmp_path / "shards")
    frames = [s.label_audio_ids.shape[1] for s in samples]
    phones = [np.arange(4 * n, dtype=np.uint8) % 41 for n in frames]
    table = pq.read_table(shard)
    pq.write_table(table.append_column("label_phones", pa.array([p.tobytes() for p in phones])), shard)
    assert tell_phones(tmp_path / "shards")
    [conversation] = read_conversations(tmp_path / "shards", prompt_format)
    for target, told in zip(conversation.targets, phones, strict=True):
        assert np.array_equal(target.phones, told.reshape(-1, 4))


def test_no_shards_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training shards"):
        read_conversations(tmp_path, mini_format(tmp_path / "format"))


def test_batches_are_filled_in_order() -> None:
    assert fill_batches([3, 0, 2, 1], [4, 20, 3, 3], 8) == [[3, 0], [2], [1]]


def test_an_epoch_has_every_conversation_once_and_steps_are_reproducible(tmp_path: Path) -> None:
    prompt_format = mini_format(tmp_path / "format")
    write_samples(tmp_path / "shards", random_samples(prompt_format, 6, 1))
    conversations = read_conversations(tmp_path / "shards", prompt_format)
    size = max(map(num_positions, conversations))
    plan = BatchPlan(conversations, size, seed=1)
    # no two fit, so an epoch has six steps
    drawn = [plan.at(step) for step in range(12)]
    assert all(len(batch) == 1 for batch in drawn)
    order = [id(batch[0]) for batch in drawn]
    assert sorted(order[:6]) == sorted(order[6:]) == sorted(map(id, conversations))
    assert order[:6] != order[6:]
    again = BatchPlan(conversations, size, seed=1)
    assert [id(again.at(step)[0]) for step in (11, 3)] == [order[11], order[3]]
