from __future__ import annotations

from collections import Counter

import pytest
from rich.console import Console

from pipeline.audio import decode_audio
from pipeline.commit import parquet_bytes
from pipeline.training.corpus import CORPUS_ROW, CorpusPlan, plan_shards, speak_shard
from pipeline.training.texts import TextSource

TEXTS = TextSource(
    [f"Say {chr(97 + i)} and {chr(97 + j)} now." for i in range(26) for j in range(26)], ["Ann", "tea"], 1
)
PLAN = CorpusPlan(seed=1, speakers=3, held_out_speakers=2, rounds=2, utterances_per_shard=4)


def test_every_round_is_every_speaker_and_held_out_ones_speak_once():
    shards = list(plan_shards(PLAN, TEXTS))
    assert [shard.index for shard in shards] == list(range(8))
    assert Counter(shard.speaker.speaker_id for shard in shards) == {
        "s1-0000": 2, "s1-0001": 2, "s1-0002": 2, "s1-0003": 1, "s1-0004": 1,
    }  # fmt: skip
    assert [shard.split for shard in shards] == ["train"] * 3 + ["valid"] * 2 + ["train"] * 3


def test_no_sentence_is_in_two_shards():
    said = [text for shard in plan_shards(PLAN, TEXTS) for text in shard.texts if text.startswith("Say")]
    assert len(said) == len(set(said)) > 20


def test_a_longer_plan_leaves_the_shards_of_a_shorter_one_as_they_are():
    longer = CorpusPlan(seed=1, speakers=3, held_out_speakers=2, rounds=3, utterances_per_shard=4)
    assert list(plan_shards(longer, TEXTS))[:8] == list(plan_shards(PLAN, TEXTS))


@pytest.mark.usefixtures("fake_flite")
def test_a_shard_as_a_table():
    shard = list(plan_shards(PLAN, TEXTS))[3]
    table = speak_shard(shard)
    assert table.schema == CORPUS_ROW
    rows = table.to_pylist()
    assert [row["utterance_id"] for row in rows] == ["00003-000", "00003-001", "00003-002", "00003-003"]
    assert [row["text"] for row in rows] == list(shard.texts)
    assert {(row["speaker_id"], row["split"]) for row in rows} == {("s1-0003", "valid")}
    for row in rows:
        waveform = decode_audio(row["audio"]["bytes"])
        assert waveform.sample_rate == 24_000
        assert waveform.duration_s == row["duration_s"]
        assert row["phones"][-1]["end_s"] == pytest.approx(row["duration_s"], abs=1e-3)


@pytest.mark.ray
@pytest.mark.usefixtures("fake_flite")
def test_the_job_makes_what_is_missing(tmp_path, monkeypatch):
    from jobs import synthesize_corpus as job

    monkeypatch.setattr(job.TextSource, "from_packages", lambda seed: TEXTS)
    plan = CorpusPlan(seed=1, speakers=2, held_out_speakers=1, rounds=1, utterances_per_shard=2)
    quiet = Console(quiet=True)
    out = tmp_path / "corpus"
    out.mkdir()
    (out / "00001.parquet").write_bytes(b"made before")
    assert job.synthesize_corpus(str(out), plan, quiet) == 2
    made = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    expected = {shard.key: parquet_bytes(speak_shard(shard)) for shard in plan_shards(plan, TEXTS)}
    assert made == expected | {"00001.parquet": b"made before"}
    assert job.synthesize_corpus(str(out), plan, quiet) == 0
