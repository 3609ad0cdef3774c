from __future__ import annotations

import heapq
import random
from collections import deque
from types import SimpleNamespace

import pytest
import torch

from pipeline.engine.device import (
    check_slots_fit,
    choose_num_slots,
    free_bytes,
    room_bytes,
    shards_at_once,
    voice_room,
)
from pipeline.errors import ConfigError

GIB = 2**30


def test_a_cpu_speaks_eight_rows_and_holds_what_it_is_asked_to():
    cpu = torch.device("cpu")
    assert room_bytes(cpu, 0.5, 100 * GIB) is None
    assert choose_num_slots(GIB, None) == 8
    assert free_bytes(cpu) is None
    check_slots_fit(1000, GIB, None, GIB)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 100 GiB; `held` are the bytes that others have of it, and that torch has kept for later."""
    held = {"others": 0, "kept": 0}
    total = SimpleNamespace(total_memory=100 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: total)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.update(kept=0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100 * GIB - sum(held.values()), 100 * GIB))
    return held


def test_the_slots_are_those_of_the_card_whatever_is_free_on_it(gpu):
    # 80 of 100 GiB are the engine's, less 16 of weights and 4 of codec and workspace; a tenth of 60 for voices
    device = torch.device("cuda")
    assert room_bytes(device, 0.8, 16 * GIB) == 60 * GIB
    assert voice_room(60 * GIB) == 6 * GIB
    before = choose_num_slots(GIB, room_bytes(device, 0.8, 16 * GIB))
    assert before == 32  # of 54 that the room holds: in steps of 32
    gpu["others"] = 90 * GIB
    assert choose_num_slots(GIB, room_bytes(device, 0.8, 16 * GIB)) == before


def test_small_and_large_cards(gpu):
    assert choose_num_slots(2 * GIB, 60 * GIB) == 27  # fewer than a step
    assert choose_num_slots(GIB // 1024, 60 * GIB) == 512  # more win nothing
    assert choose_num_slots(GIB, -GIB) == 1  # for `check_slots_fit` to look at
    assert voice_room(-GIB) == 0


def test_what_torch_keeps_for_later_is_free(gpu):
    gpu.update(others=10 * GIB, kept=5 * GIB)
    assert free_bytes(torch.device("cuda")) == 90 * GIB


def test_slots_that_do_not_fit_say_how_many_would():
    # 70 free, of which 6 are for voices and 3 for the codec; CUDA's own is not free any more
    check_slots_fit(61, GIB, 70 * GIB, 6 * GIB)
    with pytest.raises(ConfigError, match=r"^model\.slots = 62: .* 70 GiB .* set model\.slots=61$"):
        check_slots_fit(62, GIB, 70 * GIB, 6 * GIB)
    with pytest.raises(ConfigError, match=r"a slot takes 70 GiB.*smaller model.max_positions"):
        check_slots_fit(1, 70 * GIB, 70 * GIB, 6 * GIB)


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
