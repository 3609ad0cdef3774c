"""Exported files: what is there is never lost, and doing it again is safe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_results import failed_row, result_row, run_uri, tone, write_run

from pipeline.errors import ConfigError, StorageError
from pipeline.export import ExportReport, export_audio
from pipeline.records import Row
from pipeline.storage import open_store

__all__ = ["run_uri"]  # the fixture: a run of five rows, of which 3 has failed


def test_export_is_files_by_id_and_their_listing(run_uri: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=0, skipped=1)
    assert sorted(path.name for path in out.iterdir()) == [
        "metadata.jsonl", "utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac",
    ]  # fmt: skip
    samples, rate = soundfile.read(out / "utt-4.flac")
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(4), atol=2 / 32768)
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text("utf-8").splitlines()]
    listed = {line["file_name"]: line for line in lines}
    assert listed.keys() == {"utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac"}
    told = {"utterance_id": "utt-4", "target_text": "text 4", "wer": 0.5, "cer": None, "similarity": 0.5}
    assert told.items() <= listed["utt-4.flac"].items()


def test_export_to_a_bucket(run_uri: str, s3: str) -> None:
    export_audio(run_uri, f"{s3}/out")
    assert list(open_store(f"{s3}/out").list()) == [
        "metadata.jsonl", "utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac",
    ]  # fmt: skip


def read_by_datasets(folder: Path, cache: Path) -> dict[str, Row]:
    """By the loader's inner steps: the whole of it imports torchcodec, which needs FFmpeg's libraries."""
    from datasets import Audio, StreamingDownloadManager, load_dataset_builder

    builder = load_dataset_builder("audiofolder", data_dir=str(folder), cache_dir=str(cache))
    [split] = builder._split_generators(StreamingDownloadManager())
    rows = {row["utterance_id"]: row for _, row in builder._generate_examples(**split.gen_kwargs)}
    assert builder.info.features["audio"] == Audio()
    return rows


def test_an_export_is_an_audio_folder(run_uri: str, tmp_path: Path) -> None:
    export_audio(run_uri, str(tmp_path / "out"))
    rows = read_by_datasets(tmp_path / "out", tmp_path / "cache")
    assert {name: row["wer"] for name, row in rows.items()} == {f"utt-{i}": i / 8 for i in (1, 2, 4, 5)}
    assert rows["utt-2"]["audio"] == str(tmp_path / "out" / "utt-2.flac")


def test_texts_and_ids_are_read_as_they_were_given(tmp_path: Path) -> None:
    """What a spreadsheet would run, what a CSV's reader takes for a number or for nothing, and line ends."""
    texts = {"0042": "-5 degrees outside.", "007": "=1+1", "1e3": "NA", "x": 'A "line"\u2028and\nanother\t.'}
    rows = [
        result_row(i, utterance_id=name, target_text=text)
        for i, (name, text) in enumerate(texts.items(), start=1)
    ]
    write_run(str(tmp_path / "run"), [[rows[0] | {"wer": float("nan")}, *rows[1:]]])
    for _ in range(2):
        export_audio(str(tmp_path / "run"), str(tmp_path / "out"))
        read = read_by_datasets(tmp_path / "out", tmp_path / "cache")
        assert {name: row["target_text"] for name, row in read.items()} == texts
        assert [read[name]["wer"] for name in texts] == [None, 2 / 8, 3 / 8, 4 / 8]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.parquet"])
def test_a_second_listing_is_in_the_way(run_uri: str, tmp_path: Path, name: str) -> None:
    """`datasets` reads no folder that has two."""
    out = tmp_path / "out"
    export_audio(run_uri, str(out))
    whole = contents(out)
    (out / name).write_text("file_name\nutt-1.flac\n")
    with pytest.raises(ValueError, match="different extensions"):
        read_by_datasets(out, tmp_path / "cache")
    with pytest.raises(ConfigError, match=f"holds {name} with other content"):
        export_audio(run_uri, str(out))
    export_audio(run_uri, str(out), overwrite=True)
    assert contents(out) == whole


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["metadata.jsonl", "utt-4.flac"])
def test_a_file_of_somebody_else_is_not_replaced(run_uri: str, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b'{"file_name": "my-own.flac", "text": "mine"}\n')
    before = contents(out)
    with pytest.raises(ConfigError, match=f"holds {name} with other content"):
        export_audio(run_uri, str(out))
    assert contents(out) == before, "something was written before it was refused"
    assert export_audio(run_uri, str(out), overwrite=True).files == 4
    assert contents(out)[name] != before[name]
    assert len(contents(out)) == 5


def test_a_listing_that_is_no_text_is_somebody_else_s(run_uri: str, s3: str) -> None:
    store = open_store(f"{s3}/out")
    store.put("metadata.jsonl", b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"holds metadata\.jsonl"):
        export_audio(run_uri, store.uri)
    assert list(store.list()) == ["metadata.jsonl"]


def test_an_export_goes_on_where_it_was(run_uri: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_audio(run_uri, str(out))
    whole = contents(out)
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=4, skipped=1)
    assert contents(out) == whole
    (out / "utt-2.flac").unlink()  # as if it had been stopped
    (out / "metadata.jsonl").unlink()
    (out / "notes.txt").write_text("mine")
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=3, skipped=1)
    assert contents(out) == whole | {"notes.txt": b"mine"}


def test_a_run_that_has_grown_is_exported_into_the_same_folder(tmp_path: Path) -> None:
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    write_run(run, [[result_row(1)]])
    export_audio(run, out)
    write_run(run, [[result_row(1)], [failed_row(2), result_row(3)]])
    assert export_audio(run, out) == ExportReport(files=2, unchanged=1, skipped=1)
    assert sorted(contents(tmp_path / "out")) == ["metadata.jsonl", "utt-1.flac", "utt-3.flac"]


def test_another_run_with_the_same_ids_is_refused(tmp_path: Path) -> None:
    for name, pitch in (("one", 2), ("other", 3)):
        audio = result_row(pitch)["audio"]
        write_run(str(tmp_path / name), [[result_row(i, audio=audio) for i in range(1, 6)]])
    out = str(tmp_path / "out")
    export_audio(str(tmp_path / "one"), out)
    with pytest.raises(ConfigError, match=r"utt-1\.flac, .*, utt-5\.flac with other"):
        export_audio(str(tmp_path / "other"), out)


def test_files_of_rows_that_have_gone_are_named(tmp_path: Path) -> None:
    """A voice was withdrawn from the run after it was exported."""
    write_run(str(tmp_path / "run"), [[result_row(1), result_row(2)]])
    write_run(str(tmp_path / "after"), [[result_row(2)]])
    out = str(tmp_path / "out")
    export_audio(str(tmp_path / "run"), out)
    assert export_audio(str(tmp_path / "after"), out, overwrite=True).stale == ("utt-1.flac",)
    assert (tmp_path / "out" / "utt-1.flac").exists()  # it may be anybody's


def test_ids_that_are_no_file_names_are_refused(tmp_path: Path) -> None:
    write_run(str(tmp_path / "run"), [[result_row(1, utterance_id="../x")]])
    with pytest.raises(StorageError, match="not a safe file name"):
        export_audio(str(tmp_path / "run"), str(tmp_path / "deep" / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
