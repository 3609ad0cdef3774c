from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from dummies import mini_format

from jobs.pack_corpus import PackShard
from pipeline.audio import Waveform, decode_audio, encode_flac, from_int16, resample
from pipeline.codecs import load_codec
from pipeline.codecs.frame_codec import save_frame_codec
from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.codecs.frame_network import FrameCodec
from pipeline.commit import parquet_bytes
from pipeline.records import to_table
from pipeline.stages.pack_sample import sample_of
from pipeline.storage import open_store
from pipeline.training.corpus import CORPUS_ROW
from pipeline.training.pack_corpus import TRAINING_ROW, pack_shard, pair_up
from pipeline.training.phones import phone_labels


@pytest.mark.parametrize(
    "durations",
    [
        [1.0 + 0.1 * i for i in range(20)],
        [4.0] * 10,  # none is short enough
        [1.5] + [4.0] * 9,  # one is
        [1.5, 4.0],
        [1.5] * 6,
    ],
)
def test_every_utterance_is_a_target_once_and_never_its_own_reference(durations):
    pairings = pair_up(durations, targets_each=6, seed=3)
    targets = [i for pairing in pairings for i in pairing.targets]
    assert sorted(targets) == list(range(len(durations)))
    assert all(pairing.reference not in pairing.targets for pairing in pairings)


def test_references_are_short_for_the_most_part():
    durations = [1.5] * 200 + [3.0] * 200 + [6.0] * 800
    references = [durations[pairing.reference] for pairing in pair_up(durations, targets_each=6, seed=1)]
    assert len(references) == 200
    assert set(references) == {1.5, 3.0}
    assert 0.2 < references.count(3.0) / 200 < 0.4


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    config = FrameCodecConfig(
        encoder_dim=8,
        encoder_blocks=(1, 1),
        latent_dim=16,
        decoder_dim=8,
        decoder_blocks=(1, 1),
        n_codebooks=3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_frame_codec(FrameCodec(config), folder)
    return folder


@pytest.fixture(scope="module")
def codec(codec_folder):
    return load_codec(str(codec_folder))


def test_the_jobs_worker_packs_by_split(codec_folder, tmp_path):
    corpus, out = open_store(str(tmp_path / "corpus")), open_store(str(tmp_path / "samples"))
    rows = {"train": [utterance(i) | {"split": "train"} for i in range(5)]}
    rows["valid"] = [row | {"split": "valid"} for row in rows["train"]]
    corpus.put("00000.parquet", parquet_bytes(to_table(rows["train"], CORPUS_ROW)))
    corpus.put("00001.parquet", parquet_bytes(to_table(rows["valid"], CORPUS_ROW)))
    pack = PackShard(corpus.uri, str(codec_folder), out.uri, targets=3, valid_rows=2)
    assert pack({"key": "00000.parquet"}) == {"key": "00000.parquet", "rows": 5}
    assert pack({"key": "00001.parquet"}) == {"key": "00001.parquet", "rows": 2}
    assert sorted(out.list("")) == ["train/00000.parquet", "valid/00001.parquet"]
    with out.open("train/00000.parquet") as file:
        assert pq.read_schema(file) == TRAINING_ROW


def utterance(i):
    noise = 0.1 * np.random.default_rng(i).standard_normal(24_000 + 1200 * i)
    waveform = Waveform(noise.astype(np.float32), 24_000)
    return {
        "utterance_id": f"00007-{i:03d}",
        "speaker_id": "s1-0007",
        "text": f"This is sentence {'abcdefgh'[i]}.",
        "audio": {"bytes": encode_flac(waveform), "path": None},
        "duration_s": waveform.duration_s,
        "phones": [{"phone": "pau", "end_s": 0.1}, {"phone": "aa", "end_s": waveform.duration_s - 0.1}],
    }


def test_samples_hold_the_codes_and_texts_of_their_utterances(codec, tmp_path):
    utterances = [utterance(i) for i in range(8)]
    prompt_format = mini_format(tmp_path, 3)
    table = pack_shard("00007", utterances, codec, prompt_format, targets_each=3)
    assert table.schema == TRAINING_ROW
    rows = table.to_pylist()
    by_id = {row["utterance_id"]: row for row in utterances}
    assert sorted(row["utterance_id"] for row in rows) == sorted(by_id)
    for row in rows:
        target, reference = by_id[row["utterance_id"]], by_id[row["prompt_audio"].removeprefix("00007#")]
        assert row["target_text"] == target["text"]
        assert row["prompt_text"] == reference["text"]
        sample = sample_of(row)
        said, heard = (
            codec.encode([resample_of(clip, codec.sample_rate)])[0] for clip in (target, reference)
        )
        np.testing.assert_array_equal(sample.label_audio_ids, said)
        np.testing.assert_array_equal(sample.audio_ids_concat, np.concatenate([heard, said], axis=1))
        text = prompt_format.tokenizer.decode(sample.input_ids, skip_special_tokens=True)
        spell = prompt_format.tokenizer.normalizer.normalize_str
        assert text.index(spell(reference["text"])) < text.rindex(spell(target["text"]))
        assert "ðɪs ɪz sɛntəns " in text
        waveform = from_int16(sample.audio_waveforms_concat)
        assert len(waveform) == pytest.approx(reference["duration_s"] * 16_000, abs=1)
        assert row["failed_stage"] is None
        # 40 ms frames, four labels of 10 ms each
        spoken = phone_labels(target["phones"], 4 * said.shape[1])
        assert row["label_phones"] == spoken.tobytes()


def resample_of(row, rate):
    return resample(decode_audio(row["audio"]["bytes"]), rate)


def test_rows_of_one_reference_are_neighbours(codec, tmp_path):
    rows = pack_shard(
        "00007", [utterance(i) for i in range(8)], codec, mini_format(tmp_path, 3), targets_each=3
    )
    prompts = rows.column("prompt_id").to_pylist()
    changes = sum(a != b for a, b in pairwise(prompts))
    assert changes == len(set(prompts)) - 1
    limited = pack_shard(
        "00007", [utterance(i) for i in range(8)], codec, mini_format(tmp_path, 3), targets_each=3, limit=3
    )
    assert limited.num_rows == 3
    assert len(set(limited.column("prompt_id").to_pylist())) == 1
