"""Training shards that the trainer reads as they are: another utterance of the speaker is the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_sets import CODEBOOKS, RUN, manifest_rows, some_voices, spoken

from pipeline.config import ModelConfig
from pipeline.dataset.exporters.chatml import ChatML, training_format
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.selection import Selection, Utterance
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.errors import CheckpointError
from pipeline.records import Row, array_of
from pipeline.storage import open_store
from pipeline.training.mini_model import new_mini_folder
from pipeline.training.samples import read_conversations, tell_phones


@pytest.fixture(scope="module")
def prompt_format(tmp_path_factory: pytest.TempPathFactory) -> PromptFormat:
    folder = tmp_path_factory.mktemp("mini")
    new_mini_folder(folder, CODEBOOKS)
    return training_format(ModelConfig(checkpoint=str(folder)))


def rows_of(speakers: list[str], count: int) -> list[Row]:
    return [spoken(i + 1, row, frames=30 + i) for i, row in enumerate(manifest_rows(count, speakers))]


def write(out: Path, prompt_format: PromptFormat, rows: list[Row], **settings: int) -> ChatML:
    speakers = sorted({row["speaker"] for row in rows})
    chosen = Selection(DatasetPlan(hours=1.0), some_voices(*speakers), speakers, RUN)
    exporter = ChatML(open_store(str(out)), prompt_format, **settings)
    for row in rows:
        exporter.add(Utterance("train", chosen.record(row), row["audio"]["bytes"], row))
    exporter.finish()
    return exporter


def codes_of(row: Row) -> np.ndarray:
    return array_of(row["codes"], row["codes_shape"], row["codes_dtype"])


def test_the_trainer_reads_every_utterance_as_a_target(tmp_path: Path, prompt_format: PromptFormat) -> None:
    rows = rows_of(["Anna", "Ben"], 9)
    write(tmp_path, prompt_format, rows)
    conversations = read_conversations(tmp_path / "train", prompt_format)
    by_codes = {codes_of(row).tobytes(): row for row in rows}
    targets = []
    for conversation in conversations:
        [clip] = conversation.clips
        reference = by_codes[np.ascontiguousarray(clip).tobytes()]
        for target in conversation.targets:
            said = by_codes[np.ascontiguousarray(target.codes).tobytes()]
            assert said["speaker"] == reference["speaker"]
            assert said["utterance_id"] != reference["utterance_id"]
            targets.append(said["utterance_id"])
    assert sorted(targets) == sorted(row["utterance_id"] for row in rows)
    assert not tell_phones(tmp_path / "train")


def test_texts_waveforms_and_provenance_are_those_of_the_pair(
    tmp_path: Path, prompt_format: PromptFormat
) -> None:
    rows = {row["utterance_id"]: row for row in rows_of(["Anna"], 4)}
    write(tmp_path, prompt_format, list(rows.values()))
    for sample in pq.read_table(tmp_path / "train").to_pylist():
        target, reference = rows[sample["utterance_id"]], rows[sample["prompt_audio"].removeprefix("#")]
        spoken_text = [message["text"] for message in sample["messages"]]
        assert spoken_text[1].startswith(reference["target_text"])
        assert spoken_text[3] == target["target_text"]
        # 16 kHz: 640 samples for each frame of 40 ms
        assert len(sample["audio_waveforms_concat"]) // 2 == reference["codes_shape"][1] * 640
        assert (sample["run"], sample["synthetic"], sample["model"]) == (RUN, True, "test-model@1")
        assert (sample["seed"], sample["similarity"], sample["style"]) == (target["seed"], 0.7, "plain")
        assert sample["text"] == target["target_text"]


def test_what_waits_is_bounded_and_nothing_is_lost(tmp_path: Path, prompt_format: PromptFormat) -> None:
    """Speakers are written in parts; one that is left over gets a reference of an earlier part."""
    rows = rows_of(["Anna", "Ben"], 11)
    most = 3 * max(len(row["audio"]["bytes"]) + len(row["codes"]) for row in rows)
    exporter = write(tmp_path, prompt_format, rows, waiting_bytes=most)
    table = pq.read_table(tmp_path / "train", columns=["utterance_id", "prompt_audio", "speaker"]).to_pylist()
    assert sorted(row["utterance_id"] for row in table) == sorted(row["utterance_id"] for row in rows)
    for row in table:
        assert row["prompt_audio"].removeprefix("#") != row["utterance_id"]
        assert row["prompt_audio"].startswith(f"#{row['speaker'].lower()}-")
    assert not exporter.left_out


def test_a_speaker_with_one_utterance_is_told(tmp_path: Path, prompt_format: PromptFormat) -> None:
    exporter = write(tmp_path, prompt_format, rows_of(["Anna", "Ben"], 3))
    assert exporter.left_out == {"speaker_has_one_utterance": 1}


def test_a_pair_that_the_model_cannot_read_is_told(tmp_path: Path, prompt_format: PromptFormat) -> None:
    rows = rows_of(["Anna"], 3)
    rows[2] |= {"target_text": "word " * 600}
    exporter = write(tmp_path, prompt_format, rows)
    assert exporter.left_out.total() >= 1
    assert set(exporter.left_out) == {"prompt_too_long"}


def test_codes_of_another_codec_are_refused(tmp_path: Path) -> None:
    new_mini_folder(tmp_path / "mini", CODEBOOKS + 1)
    other = training_format(ModelConfig(checkpoint=str(tmp_path / "mini")))
    with pytest.raises(CheckpointError, match="4 codebooks"):
        write(tmp_path / "out", other, rows_of(["Anna"], 2))
