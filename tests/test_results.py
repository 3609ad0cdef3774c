"""Results as other programs see them: pandas, DuckDB, Hugging Face datasets, a spreadsheet, a terminal."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.audio import Waveform, encode_flac
from pipeline.commit import ShardLog
from pipeline.errors import ConfigError, StorageError
from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.results import (
    LIGHT_COLUMNS,
    iter_results,
    read_results,
    result_schema,
    write_audio_files,
    write_table,
)
from pipeline.storage import open_store


def tone(row: int) -> np.ndarray:
    """0.1 s at 8 kHz, one pitch per row."""
    return np.sin(2 * np.pi * 100 * row * np.arange(800) / 8000).astype(np.float32) / 2


def result_row(row: int, **values: object) -> Row:
    audio = {"bytes": encode_flac(Waveform(tone(row), 8000)), "path": None}
    return {
        "status": "ok",
        "row": row,
        "utterance_id": f"utt-{row}",
        "target_text": f"text {row}",
        "audio": audio,
        "codes": b"\x01\x00" * row,
        "codes_shape": [1, row],
        "wer": row / 8,
        "similarity": 0.5,
        **values,
    }


def failed_row(row: int) -> Row:
    return {"status": "failed", "row": row, "utterance_id": "../bad id", "error_code": "invalid_id"}


@pytest.fixture(params=["local", "s3"])
def run_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A run of three shards whose names and rows are in different orders: rows 1 to 5, of which 3 failed."""
    uri = str(tmp_path / "run") if request.param == "local" else request.getfixturevalue("s3") + "/run"
    write_run(uri, [[result_row(4), result_row(2)], [failed_row(3), result_row(1)], [result_row(5)]])
    return uri


def write_run(uri: str, shards: list[list[Row]]) -> None:
    log = ShardLog(open_store(uri))
    for i, rows in enumerate(shards):
        log.write_shard(f"{i:05d}", to_table(rows, result_schema()), "a", {})


# ---- read


def test_results_are_one_table_in_the_order_of_the_manifest(run_uri: str) -> None:
    open_store(run_uri).put("data/00000/orphan.parquet", b"of an attempt that died")
    table = read_results(run_uri)
    assert table.schema.equals(result_schema(), check_metadata=True)
    assert table["row"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["wer"].to_pylist() == [0.125, 0.25, None, 0.5, 0.625]
    assert table.slice(3, 1).to_pylist()[0]["codes"] == b"\x01\x00\x01\x00\x01\x00\x01\x00"


def test_only_the_columns_that_are_asked_for(run_uri: str) -> None:
    assert read_results(run_uri, ["utterance_id", "status"]).to_pylist()[2] == {
        "utterance_id": "../bad id",
        "status": "failed",
    }
    assert [table["row"].to_pylist() for table in iter_results(run_uri, ["row"])] == [[4, 2], [3, 1], [5]]
    assert [table.column_names for table in iter_results(run_uri)] == [RESULT_ROW.names] * 3
    with pytest.raises(ConfigError, match="unknown columns word_error_rate"):
        read_results(run_uri, ["row", "word_error_rate"])


def test_an_empty_run_is_an_empty_table_and_no_run_is_an_error(tmp_path: Path, s3: str) -> None:
    for root in (str(tmp_path), s3):
        with pytest.raises(StorageError, match="nowhere holds no run"):
            read_results(f"{root}/nowhere")
        open_store(f"{root}/begun").put("run.json", b"{}")
        write_run(f"{root}/empty", [[]])
        for name in ("begun", "empty"):
            table = read_results(f"{root}/{name}")
            assert table.num_rows == 0
            assert table.schema.equals(result_schema(), check_metadata=True)
            assert read_results(f"{root}/{name}", ["wer"]).schema == pa.schema([("wer", pa.float64())])


# ---- other readers


@pytest.fixture
def local_run(tmp_path: Path) -> Path:
    write_run(str(tmp_path / "run"), [[result_row(2), failed_row(3)], [result_row(1)]])
    return tmp_path / "run"


def test_pandas(local_run: Path) -> None:
    frame = pd.concat([pd.read_parquet(path) for path in local_run.glob("data/*/*.parquet")]).sort_values(
        "row"
    )
    assert frame["utterance_id"].tolist() == ["utt-1", "utt-2", "../bad id"]
    assert frame["wer"].fillna(-1).tolist() == [0.125, 0.25, -1]
    samples, rate = soundfile.read(io.BytesIO(frame["audio"].iloc[1]["bytes"]))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(2), atol=2 / 32768)


def test_duckdb(local_run: Path) -> None:
    rows = duckdb.sql(
        f"SELECT row, audio.bytes, codes_shape FROM read_parquet('{local_run}/data/*/*.parquet') ORDER BY row"
    ).fetchall()
    assert [(row, shape) for row, _, shape in rows] == [(1, [1, 1]), (2, [1, 2]), (3, None)]
    assert rows[0][1] == encode_flac(Waveform(tone(1), 8000))
    assert rows[2][1] is None
    means = duckdb.sql(f"SELECT avg(wer), count(*) FROM '{local_run}/data/*/*.parquet' WHERE status = 'ok'")
    assert means.fetchall() == [(0.1875, 2)]  # (1/8 + 2/8) / 2


def test_datasets(local_run: Path, tmp_path: Path) -> None:
    from datasets import Audio, Features, load_dataset

    files = sorted(str(path) for path in local_run.glob("data/*/*.parquet"))
    dataset = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.features["audio"] == Audio()
    assert dataset.features["wer"].dtype == "float64"
    assert set(dataset.features) == set(RESULT_ROW.names)
    raw = dataset.cast_column("audio", Audio(decode=False)).sort("row")
    samples, rate = soundfile.read(io.BytesIO(raw[0]["audio"]["bytes"]))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(1), atol=2 / 32768)
    assert raw[2]["audio"] is None or raw[2]["audio"]["bytes"] is None
    # the mark is the one that datasets itself writes
    written = json.loads(Features({"audio": Audio()}).arrow_schema.metadata[b"huggingface"])
    ours = json.loads(result_schema().metadata[b"huggingface"])
    assert ours["info"]["features"]["audio"].items() <= written["info"]["features"]["audio"].items()
    assert Features.from_arrow_schema(result_schema())["audio"] == Audio()


# ---- audio files of a shard


@pytest.mark.parametrize("bad", ["../x", "a/b", ".hidden", "-x", "a b", "", "x" * 129, "ü", "a\n", "con:aux"])
def test_ids_that_are_no_file_names_are_refused(tmp_path: Path, bad: str) -> None:
    write_run(str(tmp_path / "run"), [[result_row(1, utterance_id=bad)]])
    with pytest.raises(StorageError, match="not a safe file name"):
        write_audio_files(open_store(str(tmp_path / "deep")), read_results(str(tmp_path / "run")))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_audio_files_of_a_shard(run_uri: str) -> None:
    store = open_store(run_uri)
    shard = next(iter_results(run_uri))
    assert write_audio_files(store, shard) == ["audio/utt-4.flac", "audio/utt-2.flac"]
    assert list(store.list("audio")) == ["audio/utt-2.flac", "audio/utt-4.flac"]
    assert store.get("audio/utt-2.flac") == encode_flac(Waveform(tone(2), 8000))


# ---- tables


ODD = pa.table(
    {
        "text": ["=1+1", "+x", "-x", "@x", "\tx", "\rx", 'a,"b"\nc', "plain", None],
        "number": [-1.5, float("nan"), float("inf"), 0.0, 1.0, 2.0, 3.0, 4.0, None],
        "data": [b"\x00\xff"] * 9,
        "list": [[1, 2]] * 9,
    }
)


def test_csv_is_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    write_table(ODD, tmp_path / "t.csv", "csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["text", "number", "data", "list"]
    assert [row[0] for row in rows[1:]] == [
        "'=1+1", "'+x", "'-x", "'@x", "'\tx", "'\rx", 'a,"b"\nc', "plain", "",
    ]  # fmt: skip
    assert [row[1] for row in rows[1:4]] == ["-1.5", "", ""], "numbers stay numbers"
    assert base64.b64decode(rows[1][2]) == b"\x00\xff"
    assert json.loads(rows[1][3]) == [1, 2]


def test_jsonl_is_json(tmp_path: Path) -> None:
    write_table(ODD, str(tmp_path / "t.jsonl"), "jsonl")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [row["text"] for row in rows] == ODD["text"].to_pylist()
    assert [row["number"] for row in rows][:3] == [-1.5, None, None]


def test_parquet_and_terminal(tmp_path: Path, s3: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_table(ODD, f"{s3}/t.parquet", "parquet")
    with open_store(s3).open("t.parquet") as file:
        assert pq.read_table(file).drop_columns("number").equals(ODD.drop_columns("number"))
    write_table(pa.table({"id": ["a", "long\x1b[31m\n"], "wer": [0.25, None]}), None, "table")
    # ESC and newline, which a terminal or a script would obey, are spaces
    assert capfdbinary.readouterr().out == b"id\twer\na\t0.25\nlong [31m \t\n"


def test_parquet_is_not_poured_over_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(ConfigError, match="name a file with --output"):
        write_table(ODD, None, "parquet")


def test_writing_elsewhere_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="format 'xlsx' is not known; use one of table, csv, jsonl, parquet"
    ):
        write_table(ODD, tmp_path / "t", "xlsx")
    with pytest.raises(ConfigError, match="does not name a file"):
        write_table(ODD, f"{tmp_path}/", "csv")
    with pytest.raises(ConfigError, match="cannot be written to"):
        write_table(ODD, "https://host/t.csv", "csv")
    with pytest.raises(ConfigError, match="is a folder"):
        write_table(ODD, tmp_path, "csv")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is not a folder"):
        write_table(ODD, tmp_path / "file" / "t.csv", "csv")


def test_a_person_reads_id_status_and_scores_first() -> None:
    assert RESULT_ROW.names[:5] == ["utterance_id", "status", "wer", "cer", "similarity"]


def test_results_of_an_older_version_are_read(tmp_path: Path) -> None:
    older = to_table([result_row(1)], result_schema()).drop_columns(["prompt_text_heard", "cer"])
    ShardLog(open_store(str(tmp_path))).write_shard("00000", older, "a", {})
    for columns in (None, ["wer", "cer", "prompt_text_heard"]):
        [row] = read_results(str(tmp_path), columns).to_pylist()
        assert (row["wer"], row["cer"], row["prompt_text_heard"]) == (0.125, None, None)


def test_light_columns_hold_no_bytes() -> None:
    assert not any(pa.types.is_binary(RESULT_ROW.field(name).type) for name in LIGHT_COLUMNS)
    assert set(RESULT_ROW.names) - set(LIGHT_COLUMNS) == {"audio", "codes"}
