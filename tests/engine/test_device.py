from __future__ import annotations

import heapq
import random
from collections import deque

import pytest

from pipeline.engine.device import choose_num_slots, shards_at_once
from pipeline.errors import ConfigError

GIB = 2**30


def test_a_cpu_speaks_eight_rows_or_what_was_asked_for():
    assert choose_num_slots(0, GIB, None, 0) == 8
    assert choose_num_slots(3, GIB, None, 0) == 3


def test_free_memory_less_the_voices_and_a_margin_gives_the_slots():
    # (100 - 20) GiB * 0.85 = 68 GiB
    assert choose_num_slots(0, GIB, 100 * GIB, 20 * GIB) == 64  # in steps of 32
    assert choose_num_slots(68, GIB, 100 * GIB, 20 * GIB) == 68
    assert choose_num_slots(0, GIB // 1024, 100 * GIB, 20 * GIB) == 512  # no more win anything
    assert choose_num_slots(0, 10 * GIB, 100 * GIB, 20 * GIB) == 6  # fewer than a step


def test_too_many_slots_say_how_many_would_fit():
    with pytest.raises(ConfigError, match=r"set model\.slots=68$"):
        choose_num_slots(69, GIB, 100 * GIB, 20 * GIB)
    with pytest.raises(
        ConfigError, match=r"a slot takes 70 GiB, 100 GiB are free.*smaller model.max_positions"
    ):
        choose_num_slots(0, 70 * GIB, 100 * GIB, 20 * GIB)


@pytest.mark.parametrize(
    ("slots", "shard_rows", "on_gpu", "shards"),
    [
        (0, 32, True, 64),  # 2048 rows for the 512 slots that a GPU may have
        (256, 64, True, 16),
        (0, 1, True, 64),
        (0, 4096, True, 4),
        (0, 32, False, 4),
        (0, 2, False, 16),
    ],
)
def test_an_engine_has_four_rows_in_hand_for_each_slot(slots, shard_rows, on_gpu, shards):
    assert shards_at_once(slots, shard_rows, on_gpu=on_gpu) == shards


def slot_use(slots: int, shards: list[list[int]], at_once: int) -> float:
    """Of the slots while shards are left to come: a row takes its length, the rows of older shards go first."""
    coming, waiting, speaking = iter(range(len(shards))), deque(), []
    left = [len(shard) for shard in shards]

    def enter() -> bool:
        if (number := next(coming, None)) is None:
            return False
        waiting.extend((number, length) for length in sorted(shards[number], reverse=True))
        return True

    more = all(enter() for _ in range(at_once))
    now = busy = 0
    while more:
        while waiting and len(speaking) < slots:
            number, length = waiting.popleft()
            heapq.heappush(speaking, (now + length, number))
        ends, number = heapq.heappop(speaking)
        busy += (ends - now) * (len(speaking) + 1)
        now = ends
        left[number] -= 1
        if not left[number]:
            more = enter()
    return busy / (slots * now)


@pytest.mark.parametrize("spread", [0.3, 0.7])
def test_so_many_shards_keep_the_slots_full(spread):
    """By simulation: 128 rows in hand, as it once was, fill a fifth of a GPU's slots at best."""
    draw = random.Random(0)
    lengths = [max(1, round(draw.lognormvariate(4.9, spread))) for _ in range(20_000)]
    shards = [lengths[start : start + 32] for start in range(0, len(lengths), 32)]
    assert slot_use(512, shards, shards_at_once(0, 32, on_gpu=True)) > 0.97
    assert slot_use(512, shards, 4) < 0.2
