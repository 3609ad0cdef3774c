from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import parquet_bytes
from pipeline.errors import ConfigError
from pipeline.records import to_table
from pipeline.storage import open_store
from pipeline.training.clips import Clips, build_clips, open_clips
from pipeline.training.corpus import CORPUS_ROW
from pipeline.training.phones import PHONES

NAMES = {phone: i for i, phone in enumerate(PHONES)}


def utterance(level, num_samples, split="train"):
    """A constant signal; "s" for the first half second, "iy" after it."""
    waveform = Waveform(np.full(num_samples, level, np.float32), 24_000)
    phones = [{"phone": "s", "end_s": 0.5}, {"phone": "iy", "end_s": num_samples / 24_000}]
    return {"split": split, "audio": {"bytes": encode_flac(waveform), "path": None}, "phones": phones}


@pytest.fixture
def clips(tmp_path):
    store = open_store(str(tmp_path / "corpus"))
    rows = [utterance(0.25, 24_100), utterance(0.5, 12_000, "valid"), utterance(0.125, 9_600)]
    store.put("00000.parquet", parquet_bytes(to_table(rows[:2], CORPUS_ROW)))
    store.put("00001.parquet", parquet_bytes(to_table(rows[2:], CORPUS_ROW)))
    folder = tmp_path / "clips"
    assert open_clips(folder) is None
    assert build_clips(store, folder) == 2
    clips = open_clips(folder)
    assert clips is not None
    return clips


def test_the_clips_of_one_split_end_to_end(clips):
    # 24,100 samples are 100 whole labels of 240 samples, 9,600 are 40
    assert clips.starts.tolist() == [0, 100, 140]
    assert len(clips.samples) == 140 * 240
    assert clips.labels[:100].tolist() == [NAMES["s"]] * 50 + [NAMES["iy"]] * 50
    assert set(clips.samples[: 100 * 240].tolist()) == {8192}


def test_a_batch_is_a_function_of_seed_and_step(clips):
    one, same, other = (clips.crops(1, step, batch=4, frames=3, hop=960) for step in (7, 7, 8))
    assert torch.equal(one.audio, same.audio)
    assert torch.equal(one.phones, same.phones)
    assert not torch.equal(one.audio, other.audio)


def test_labels_stay_with_their_samples():
    """Clip of 40 labels: label i is phone i, and its 240 samples have the value 100 i."""
    labels = np.arange(40, dtype=np.uint8)
    clips = Clips(np.repeat(labels.astype(np.int16) * 100, 240), labels, np.array([0, 40]))
    crops = clips.crops(seed=1, step=1, batch=8, frames=5, hop=960)
    assert crops.audio.shape == (8, 1, 4800)
    assert crops.phones.shape == (8, 10)
    for audio, phones in zip(crops.audio[:, 0], crops.phones, strict=True):
        middles = audio[240::480]  # the middle of each half frame, whatever the gain
        expected = middles / middles[-1] * phones[-1]
        torch.testing.assert_close(phones.float(), expected, atol=1e-3, rtol=1e-4)


def test_a_short_clip_is_followed_by_silence():
    clips = Clips(np.full(10 * 240, 1000, np.int16), np.full(10, NAMES["s"], np.uint8), np.array([0, 10]))
    crops = clips.crops(seed=1, step=1, batch=1, frames=4, hop=960)
    assert (crops.audio[0, 0, :2400] > 0).all()
    assert (crops.audio[0, 0, 2400:] == 0).all()
    assert crops.phones[0].tolist() == [NAMES["s"]] * 5 + [NAMES["pau"]] * 3


def test_a_corpus_without_the_split_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no train utterances"):
        build_clips(open_store(str(tmp_path)), tmp_path / "clips")
