"""Every format is loaded by its own library: the same rows, the same samples, what is told of them."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from made_sets import RUN, manifest_rows, rejected, some_voices, spoken, write_run

from pipeline.config import ModelConfig
from pipeline.dataset.card import Card
from pipeline.dataset.export import export_dataset
from pipeline.dataset.exporters.lhotse import LhotseShar
from pipeline.dataset.exporters.shards import ParquetShards, TarShards
from pipeline.dataset.exporters.webdataset import WebDataset
from pipeline.dataset.licence import ModelLicence
from pipeline.dataset.plan import DatasetPlan
from pipeline.dataset.selection import RECORD, Selection, Utterance
from pipeline.dataset.survey import survey_run
from pipeline.records import Row
from pipeline.run import read_run
from pipeline.storage import open_store

SPEAKERS = ["Anna", "Ben", "cleo"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Row]]:
    """A run of nine rows, one rejected, and what of it belongs to the set."""
    said = manifest_rows(9, SPEAKERS)
    said[3]["text"] = 'He said "a|b", naïvely.'
    rows = [spoken(i + 1, row, frames=20 + i) for i, row in enumerate(said)]
    rows[8] = rejected(rows[8], "wer: 0.9, at most 0.3")
    return write_run(str(tmp_path_factory.mktemp("runs") / "run"), rows), rows[:8]


def selection() -> Selection:
    plan = DatasetPlan(hours=1.0, splits={"train": 0.6, "valid": 0.4})
    return Selection(plan, some_voices(*SPEAKERS), SPEAKERS, RUN)


def export(finished: tuple[str, list[Row]], format: str, out: Path) -> Path:
    chosen = selection()
    survey = survey_run(finished[0], chosen)
    card = Card(chosen.plan, survey, ModelLicence("m@1", "mit", "the plan"), read_run(finished[0]))
    report = export_dataset(str(out), format, finished[0], chosen, card, ModelConfig())
    assert report.rows + report.left_out == 8
    return out


def samples_of(row: Row) -> np.ndarray:
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0]


def by_split(rows: list[Row]) -> dict[str, dict[str, Row]]:
    split_of = selection().split_of
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(split_of[row["speaker"]], {})[row["utterance_id"]] = row
    assert set(found) == {"train", "valid"}
    return found


def assert_told(record: Row, row: Row) -> None:
    """All of RECORD, wherever a format puts it."""
    assert record["text"] == row["target_text"]
    assert record["speaker"] == row["speaker"]
    assert record["synthetic"] is True
    for name in ("model", "codec", "seed", "similarity", "gate", "codes_sha256", "transcriber"):
        assert record[name] == row[name]
    assert (record["run"], record["reference"]) == (RUN, f"{row['speaker']}.flac")


def has_torchcodec() -> bool:
    """What `datasets` and torchaudio decode with needs FFmpeg's libraries, which no wheel brings."""
    try:
        import torchcodec  # noqa: F401
    except RuntimeError:
        return False
    return True


needs_torchcodec = pytest.mark.skipif(not has_torchcodec(), reason="no FFmpeg libraries (Debian: ffmpeg)")


@pytest.mark.parametrize("decode", [False, pytest.param(True, marks=needs_torchcodec)])
def test_hugging_face_datasets(finished: tuple[str, list[Row]], tmp_path: Path, decode: bool) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Audio, load_dataset

    folder = export(finished, "huggingface", tmp_path / "huggingface")
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    wanted = by_split(finished[1])
    assert set(loaded) == set(wanted)
    for split, rows in wanted.items():
        assert isinstance(loaded[split].features["audio"], Audio)
        assert loaded[split].column_names == ["audio", *RECORD.names]
        told = loaded[split].cast_column("audio", Audio(decode=decode))
        got = {record["id"]: record for record in told}
        assert set(got) == set(rows)
        for key, row in rows.items():
            assert_told(got[key], row)
            if decode:
                decoded = got[key]["audio"].get_all_samples()
                assert decoded.sample_rate == 24_000
                assert np.abs(decoded.data.numpy()[0] * 32768 - samples_of(row)).max() <= 1
            else:
                assert got[key]["audio"]["bytes"] == row["audio"]["bytes"]


def test_webdataset(finished: tuple[str, list[Row]], tmp_path: Path) -> None:
    import webdataset

    folder = export(finished, "webdataset", tmp_path / "webdataset")
    for split, rows in by_split(finished[1]).items():
        loaded = webdataset.WebDataset(
            str(folder / f"{split}-000000.tar"), shardshuffle=False, empty_check=False
        )
        got = {sample["__key__"]: sample for sample in loaded.decode()}
        assert set(got) == set(rows)
        for key, row in rows.items():
            assert_told(got[key]["json"], row)
            assert got[key]["txt"] == row["target_text"]
            assert got[key]["flac"] == row["audio"]["bytes"]


def test_the_card_of_a_webdataset_loads_all_shards(finished: tuple[str, list[Row]], tmp_path: Path) -> None:
    """One row is more than a shard holds."""
    exporter = WebDataset(open_store(str(tmp_path)), shard_bytes=1)
    chosen = selection()
    for split, count in (("train", 3), ("valid", 1)):
        for row in finished[1][:count]:
            exporter.add(Utterance(split, chosen.record(row), row["audio"]["bytes"], row))
    exporter.finish()
    for split, urls, count in (("train", "train-{000000..000002}.tar", 3), ("valid", "valid-000000.tar", 1)):
        code = exporter.how_to_load(split)
        assert f'"{urls}"' in code
        told: dict[str, Any] = {}
        exec(code.replace(urls, f"{tmp_path}/{urls}"), told)
        assert [json.loads(record)["id"] for _, record in told["pairs"]] == [
            row["utterance_id"] for row in finished[1][:count]
        ]


@pytest.mark.parametrize("format", ["lhotse", "shar"])
def test_lhotse(finished: tuple[str, list[Row]], tmp_path: Path, format: str) -> None:
    from lhotse import CutSet, validate

    folder = export(finished, format, tmp_path / format)
    for split, rows in by_split(finished[1]).items():
        if format == "lhotse":
            cuts = CutSet.from_file(folder / split / "cuts.jsonl.gz").with_recording_path_prefix(folder)
        else:
            cuts = CutSet.from_shar(in_dir=folder / split)
        cuts = cuts.to_eager()
        validate(cuts, read_data=True)
        assert {cut.id for cut in cuts} == set(rows)
        for cut in cuts:
            row = rows[cut.id]
            [supervision] = cut.supervisions
            told = {"text": supervision.text, "speaker": supervision.speaker, **supervision.custom}
            assert_told(told, row)
            assert supervision.language == "en"
            assert (cut.sampling_rate, cut.num_samples) == (24_000, row["num_samples"])
            assert np.array_equal(cut.load_audio()[0] * 32768, samples_of(row))


def test_what_lhotse_writes_of_a_cut_is_what_we_write(
    finished: tuple[str, list[Row]], tmp_path: Path
) -> None:
    from lhotse import CutSet
    from lhotse.serialization import load_jsonl

    folder = export(finished, "lhotse", tmp_path / "lhotse")
    path = folder / "train" / "cuts.jsonl.gz"
    assert [cut.to_dict() for cut in CutSet.from_file(path)] == list(load_jsonl(path))


def test_ljspeech(finished: tuple[str, list[Row]], tmp_path: Path) -> None:
    from lhotse.recipes.ljspeech import prepare_ljspeech

    folder = export(finished, "ljspeech", tmp_path / "ljspeech")
    told = {}
    for path in sorted(folder.glob("provenance-*.jsonl")):
        told |= {record["id"]: record for record in map(json.loads, path.read_text("utf-8").splitlines())}
    # one text has the bar that parts the format's columns
    kept = {row["utterance_id"]: row for row in finished[1] if "|" not in row["target_text"]}
    assert len(kept) == 7
    assert set(told) == set(kept)
    done = json.loads((folder / "_SUCCESS").read_text())
    assert (done["rows"], done["left_out"]) == (7, {"text_has_bar": 1})
    assert "| text_has_bar | 1 |" in (folder / "README.md").read_text()
    found = set()
    for metadata in sorted(folder.glob("*/*/metadata.csv")):
        root = metadata.parent
        cuts = prepare_ljspeech(root)
        texts = {each.recording_id: each.text for each in cuts["supervisions"]}
        names = [recording.id for recording in cuts["recordings"]]
        for name in names:
            row = kept[name]
            assert_told(told[name], row)
            assert texts[name] == row["target_text"]
            pcm, rate = soundfile.read(root / "wavs" / f"{name}.wav", dtype="int16")
            assert rate == 24_000
            assert np.array_equal(pcm, samples_of(row))
            assert root.name.startswith(row["speaker"])
            assert root.parent.name == selection().split_of[row["speaker"]]
        found |= set(names)
    assert found == set(kept)


@needs_torchcodec
def test_torchaudio_reads_ljspeech(finished: tuple[str, list[Row]], tmp_path: Path) -> None:
    from torchaudio.datasets import LJSPEECH

    folder = export(finished, "ljspeech", tmp_path / "ljspeech")
    kept = {row["utterance_id"]: row for row in finished[1]}
    for metadata in sorted(folder.glob("*/*/metadata.csv")):
        root = metadata.parent
        loaded = LJSPEECH(root.parent, url=f"any/{root.name}.tar.bz2")
        for (name, *_), (waveform, rate, text, normalized) in zip(loaded._flist, loaded, strict=True):
            row = kept[name]
            assert (rate, text, normalized) == (24_000, row["target_text"], row["target_text"])
            assert np.abs(waveform[0].numpy() * 32768 - samples_of(row)).max() <= 1


def test_quotes_are_no_quotes_in_ljspeech(finished: tuple[str, list[Row]], tmp_path: Path) -> None:
    row = finished[1][0] | {"target_text": '"Stop," he said.'}
    uri = write_run(str(tmp_path / "run"), [row, *finished[1][1:]])
    folder = export((uri, []), "ljspeech", tmp_path / "out")
    [metadata] = folder.glob("*/Anna*/metadata.csv")
    with metadata.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE))
    assert ["anna-0000000000000000", '"Stop," he said.', '"Stop," he said.'] in rows


# ---- shards


def test_full_tars_are_written_at_once(tmp_path: Path) -> None:
    tars = TarShards(open_store(str(tmp_path)), "a-%06d.tar", shard_bytes=4000)
    full = [tars.add([(f"{i}.bin", bytes(1500)), (f"{i}.txt", b"x")]) for i in range(5)]
    assert full == [False, True, False, True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-000000.tar", "a-000001.tar"]
    tars.close()
    with tarfile.open(tmp_path / "a-000002.tar") as tar:
        assert [(entry.name, entry.size, entry.mtime) for entry in tar] == [
            ("4.bin", 1500, 0),
            ("4.txt", 1, 0),
        ]


def test_full_parquet_shards_are_written_at_once(tmp_path: Path) -> None:
    shards = ParquetShards(open_store(str(tmp_path)), "a-%05d.parquet", RECORD, shard_bytes=5000)
    for i in range(5):
        shards.add({"id": str(i)}, 2000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-00000.parquet", "a-00001.parquet"]
    shards.close()
    shards.close()
    rows = [pq.read_table(path).column("id").to_pylist() for path in sorted(tmp_path.iterdir())]
    assert rows == [["0", "1"], ["2", "3"], ["4"]]


def test_cuts_and_recordings_of_shar_are_sharded_alike(
    finished: tuple[str, list[Row]], tmp_path: Path
) -> None:
    from lhotse import CutSet

    exporter = LhotseShar(open_store(str(tmp_path)), shard_bytes=70_000)
    chosen = selection()
    for row in finished[1]:
        exporter.add(Utterance("train", chosen.record(row), row["audio"]["bytes"], row))
    exporter.finish()
    names = sorted(path.name for path in (tmp_path / "train").iterdir())
    count = len(names) // 2
    assert count > 1
    assert names == sorted(
        [f"cuts.{i:06d}.jsonl.gz" for i in range(count)] + [f"recording.{i:06d}.tar" for i in range(count)]
    )
    cuts = list(CutSet.from_shar(in_dir=tmp_path / "train"))
    assert [cut.id for cut in cuts] == [row["utterance_id"] for row in finished[1]]
    assert np.array_equal(cuts[-1].load_audio()[0] * 32768, samples_of(finished[1][-1]))
