"""Exported files: what is there is never lost, and doing it again is safe."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_results import failed_row, result_row, run_uri, tone, write_run

from pipeline.errors import ConfigError, StorageError
from pipeline.export import ExportReport, export_audio
from pipeline.storage import open_store

__all__ = ["run_uri"]  # the fixture: a run of five rows, of which 3 has failed


def test_export_is_files_by_id_and_their_listing(run_uri: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=0, skipped=1)
    assert sorted(path.name for path in out.iterdir()) == [
        "metadata.csv", "utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac",
    ]  # fmt: skip
    samples, rate = soundfile.read(out / "utt-4.flac")
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(4), atol=2 / 32768)
    with (out / "metadata.csv").open(newline="") as file:
        listed = {row["file_name"]: row for row in csv.DictReader(file)}
    assert listed.keys() == {"utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac"}
    assert listed["utt-4.flac"] == {
        "file_name": "utt-4.flac", "utterance_id": "utt-4", "target_text": "text 4", "wer": "0.5", "similarity": "0.5",
    }  # fmt: skip


def test_export_to_a_bucket(run_uri: str, s3: str) -> None:
    export_audio(run_uri, f"{s3}/out")
    assert list(open_store(f"{s3}/out").list()) == [
        "metadata.csv", "utt-1.flac", "utt-2.flac", "utt-4.flac", "utt-5.flac",
    ]  # fmt: skip


def test_an_export_is_an_audio_folder(run_uri: str, tmp_path: Path) -> None:
    """By the loader's inner steps: the whole of it imports torchcodec, which needs FFmpeg's libraries."""
    from datasets import Audio, StreamingDownloadManager, load_dataset_builder

    export_audio(run_uri, str(tmp_path / "out"))
    builder = load_dataset_builder(
        "audiofolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    [split] = builder._split_generators(StreamingDownloadManager())
    rows = {row["utterance_id"]: row for _, row in builder._generate_examples(**split.gen_kwargs)}
    assert builder.info.features["audio"] == Audio()
    assert {name: row["wer"] for name, row in rows.items()} == {f"utt-{i}": i / 8 for i in (1, 2, 4, 5)}
    assert rows["utt-2"]["audio"] == str(tmp_path / "out" / "utt-2.flac")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["metadata.csv", "utt-4.flac"])
def test_a_file_of_somebody_else_is_not_replaced(run_uri: str, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"file_name,text\nmy-own.flac,mine\n")
    before = contents(out)
    with pytest.raises(ConfigError, match=f"holds {name} with other content"):
        export_audio(run_uri, str(out))
    assert contents(out) == before, "something was written before it was refused"
    assert export_audio(run_uri, str(out), overwrite=True).files == 4
    assert contents(out)[name] != before[name]
    assert len(contents(out)) == 5


def test_a_listing_that_is_no_text_is_somebody_else_s(run_uri: str, s3: str) -> None:
    store = open_store(f"{s3}/out")
    store.put("metadata.csv", b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"holds metadata\.csv"):
        export_audio(run_uri, store.uri)
    assert list(store.list()) == ["metadata.csv"]


def test_an_export_goes_on_where_it_was(run_uri: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_audio(run_uri, str(out))
    whole = contents(out)
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=4, skipped=1)
    assert contents(out) == whole
    (out / "utt-2.flac").unlink()  # as if it had been stopped
    (out / "metadata.csv").unlink()
    (out / "notes.txt").write_text("mine")
    assert export_audio(run_uri, str(out)) == ExportReport(files=4, unchanged=3, skipped=1)
    assert contents(out) == whole | {"notes.txt": b"mine"}


def test_a_run_that_has_grown_is_exported_into_the_same_folder(tmp_path: Path) -> None:
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    write_run(run, [[result_row(1)]])
    export_audio(run, out)
    write_run(run, [[result_row(1)], [failed_row(2), result_row(3)]])
    assert export_audio(run, out) == ExportReport(files=2, unchanged=1, skipped=1)
    assert sorted(contents(tmp_path / "out")) == ["metadata.csv", "utt-1.flac", "utt-3.flac"]


def test_another_run_with_the_same_ids_is_refused(tmp_path: Path) -> None:
    for name, pitch in (("one", 2), ("other", 3)):
        audio = result_row(pitch)["audio"]
        write_run(str(tmp_path / name), [[result_row(i, audio=audio) for i in range(1, 6)]])
    out = str(tmp_path / "out")
    export_audio(str(tmp_path / "one"), out)
    with pytest.raises(ConfigError, match=r"utt-1\.flac, utt-2\.flac, utt-3\.flac and 2 more with other"):
        export_audio(str(tmp_path / "other"), out)


def test_ids_that_are_no_file_names_are_refused(tmp_path: Path) -> None:
    write_run(str(tmp_path / "run"), [[result_row(1, utterance_id="../x")]])
    with pytest.raises(StorageError, match="not a safe file name"):
        export_audio(str(tmp_path / "run"), str(tmp_path / "deep" / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
