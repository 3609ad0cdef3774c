from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import flow  # noqa: F401  (before ray, which actors import: it sets what ray reads)
from pipeline.actors import Chain, prompt_lookup
from pipeline.errors import EngineFatalError, RowError
from pipeline.prompt_cache import PromptCache
from pipeline.records import SpeakerPrompt
from pipeline.storage import open_store


class Add:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.table({"x": [value * 10 + self.number for value in table["x"].to_pylist()]})


def test_a_chain_is_its_stages_in_order() -> None:
    chain = Chain([(Add, (1,)), (Add, (2,))])
    assert chain(pa.table({"x": [0, 5]}))["x"].to_pylist() == [12, 512]


class Overlaps:
    """Notes how many calls were inside at once; lets go when `enough` are."""

    def __init__(self, seen: list[int], enough: int) -> None:
        self.seen, self.together = seen, threading.Barrier(enough)

    def __call__(self, table: pa.Table) -> pa.Table:
        try:
            self.together.wait(timeout=0.2)
            self.seen.append(self.together.parties)
        except threading.BrokenBarrierError:
            self.seen.append(1)
        return table


class ConcurrentOverlaps(Overlaps):
    concurrent = True


@pytest.mark.parametrize(("stage", "together"), [(Overlaps, [1, 1]), (ConcurrentOverlaps, [2, 2])])
def test_only_concurrent_stages_of_a_chain_take_several_shards_at_once(stage: type, together: list) -> None:
    seen: list[int] = []
    chain = Chain([(stage, (seen, 2))])
    with ThreadPoolExecutor(2) as pool:
        tables = [pa.table({"x": [number]}) for number in range(2)]
        assert list(pool.map(chain, tables)) == tables
    assert seen == together


def test_voices_come_from_the_cache_or_fail_as_they_failed(tmp_path: Path) -> None:
    cache = PromptCache(open_store(str(tmp_path)), "codec@1")
    voice = SpeakerPrompt("a" * 32, "x", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, None)
    cache.put(voice)
    lookup = prompt_lookup(cache, {"bad": RowError("prompt_text_unknown", "nothing heard")})
    assert lookup(voice.prompt_id).prompt_text == "x"
    with pytest.raises(RowError, match="nothing heard"):
        lookup("bad")
    with pytest.raises(EngineFatalError, match="not in the prompt cache"):
        lookup("b" * 32)
