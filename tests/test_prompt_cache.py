from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StorageError
from pipeline.prompt_cache import PromptCache
from pipeline.records import SpeakerPrompt
from pipeline.storage import open_store


def prompt(embedding: np.ndarray | None, codebooks: int = 8) -> SpeakerPrompt:
    random = np.random.default_rng(0)
    return SpeakerPrompt(
        prompt_id="ab" * 16,
        prompt_text="Grüße aus 東京",
        codes=random.integers(0, 1024, (codebooks, 5)).astype(np.uint16),
        waveform=random.integers(-(2**15), 2**15, 777).astype(np.int16),
        duration_s=777 / 16_000,
        embedding=embedding,
    )


@pytest.mark.parametrize("embedding", [None, np.arange(4, dtype=np.float32) / 3])
@pytest.mark.parametrize("codebooks", [0, 8, 12])
def test_a_voice_comes_back_as_it_was(tmp_path: Path, embedding: np.ndarray | None, codebooks: int) -> None:
    cache = PromptCache(open_store(str(tmp_path)), "codec@1 encoder@2")
    kept = prompt(embedding, codebooks)
    cache.put(kept)
    found = cache.get(kept.prompt_id)
    assert found is not None
    assert (found.prompt_text, found.duration_s) == (kept.prompt_text, kept.duration_s)
    assert np.array_equal(found.codes, kept.codes)
    assert found.codes.dtype == np.uint16
    assert np.array_equal(found.waveform, kept.waveform)
    if embedding is None:
        assert found.embedding is None
    else:
        assert np.array_equal(found.embedding, embedding)
    assert cache.known() == {kept.prompt_id}


def test_other_encoders_do_not_see_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    PromptCache(store, "codec@1").put(prompt(None))
    other = PromptCache(store, "codec@2")
    assert other.get("ab" * 16) is None
    assert other.known() == set()


def test_a_damaged_voice_is_named_and_is_no_fault_of_its_rows(tmp_path: Path) -> None:
    cache = PromptCache(open_store(str(tmp_path)), "codec@1")
    cache.put(prompt(None))
    [path] = tmp_path.rglob("*.parquet")
    data = path.read_bytes()
    for damaged in (data[:100], data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :]):
        path.write_bytes(damaged)  # cut short, or with pages of nothing
        with pytest.raises(StorageError, match=rf"{path.name}: a damaged voice in the cache; delete it"):
            cache.get("ab" * 16)
    path.unlink()
    assert cache.get("ab" * 16) is None
