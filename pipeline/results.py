"""A run's results, for people and programs: read and list. Only committed shards are seen."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.commit import Commit, ShardLog, parquet_bytes, read_ahead
from pipeline.destination import file_destination
from pipeline.errors import ConfigError, StorageError
from pipeline.records import RESULT_ROW
from pipeline.storage import Store, open_store

LIGHT_COLUMNS = [name for name in RESULT_ROW.names if name not in {"audio", "codes"}]
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def result_schema() -> pa.Schema:
    """RESULT_ROW, marked so that Hugging Face `datasets` reads `audio` as an Audio feature.

    The mark is the schema metadata of `datasets.Features.arrow_schema`; columns it does not name are
    inferred.
    """
    features = {"info": {"features": {"audio": {"_type": "Audio"}}}}
    return RESULT_ROW.with_metadata({"huggingface": json.dumps(features)})


def read_results(uri: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows committed so far, sorted by `row`; all columns, audio included, unless some are named.

    With gigabytes of audio, name columns or go through `iter_results`. Raises ConfigError for an unknown
    column, StorageError.
    """
    wanted = _checked(columns)
    read = list(dict.fromkeys([*wanted, "row"]))
    shards = list(iter_results(uri, read))
    empty = result_schema().empty_table().select(read)
    return pa.concat_tables([empty, *shards]).sort_by("row").select(wanted)


def iter_results(
    uri: str, columns: Sequence[str] | None = None, commits: Sequence[Commit] | None = None
) -> Iterator[pa.Table]:
    """The same rows shard by shard, in no useful order of rows; of all `commits` unless they are given."""
    wanted = _checked(columns)
    store = open_store(uri)
    log = ShardLog(store)
    commits = list(log.commits()) if commits is None else commits
    if not commits and next(store.list(), None) is None:
        raise StorageError(f"{uri} holds no run; name the --out of one")
    # a whole shard is read and checked when nearly all of it is wanted anyway
    only = None if len(wanted) == len(RESULT_ROW) else wanted
    for table in read_ahead(lambda commit: read_shard(log, commit, only), commits):
        yield table.select(wanted)


def read_shard(log: ShardLog, commit: Commit, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard of results. Columns that a run made by an older version does not have are null."""
    with suppress(KeyError):
        if columns is not None:
            return log.read_table(commit, columns)
    table = log.read_table(commit)
    for name in RESULT_ROW.names:
        if name not in table.column_names:
            table = table.append_column(
                RESULT_ROW.field(name), pa.nulls(table.num_rows, RESULT_ROW.field(name).type)
            )
    return table


def write_audio_files(store: Store, table: pa.Table, folder: str = "audio") -> list[str]:
    """Writes `<folder>/<utterance_id>.flac` for every row that has audio; returns the keys.

    Raises StorageError for an id that is not a plain file name.
    """
    keys = []
    for row in table.select(["utterance_id", "audio"]).to_pylist():
        if has_audio(row["audio"]):
            keys.append(f"{folder}/{audio_file_name(row['utterance_id'])}")
            store.put(keys[-1], row["audio"]["bytes"])
    return keys


def write_table(table: pa.Table, path: str | Path | None, format: str) -> None:
    """Writes rows to a local path or an s3 URI, or to standard output if `path` is None.

    `format` is table, csv, jsonl or parquet. All of the table's columns are written: see LIGHT_COLUMNS;
    text formats hold bytes as base64. Raises ConfigError for another format, for Parquet on a terminal
    and for a path that cannot be written, StorageError.
    """
    if format not in _RENDERERS:
        raise ConfigError(f"format {format!r} is not known; use one of {', '.join(_RENDERERS)}")
    if path is None:
        if format == "parquet" and sys.stdout.isatty():
            raise ConfigError("Parquet is binary and this is a terminal; name a file with --output")
        sys.stdout.buffer.write(_RENDERERS[format](table))
        sys.stdout.buffer.flush()
        return
    store, name = file_destination(str(path))
    store.put(name, _RENDERERS[format](table))


def _as_text(table: pa.Table) -> bytes:
    """A line a row, cells parted by tabs; control characters, which terminals obey, become spaces."""
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    shown = [["".join(c if c.isprintable() else " " for c in cell) for cell in row] for row in rows]
    return "".join("\t".join(row) + "\n" for row in shown).encode()


def _as_csv(table: pa.Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)  # lines end as in RFC 4180, and a bare \r or \n in a cell is quoted
    writer.writerow(table.column_names)
    writer.writerows([csv_cell(value) for value in row.values()] for row in table.to_pylist())
    return text.getvalue().encode()


def _as_jsonl(table: pa.Table) -> bytes:
    lines = (json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) for row in table.to_pylist())
    return "".join(f"{line}\n" for line in lines).encode()


_RENDERERS: dict[str, Callable[[pa.Table], bytes]] = {
    "table": _as_text,
    "csv": _as_csv,
    "jsonl": _as_jsonl,
    "parquet": parquet_bytes,
}


def csv_cell(value: Any) -> str:
    """Text that a spreadsheet would run as a formula is led by an apostrophe, which it shows as text."""
    cell = _cell(value)
    return f"'{cell}" if isinstance(value, str) and cell.startswith(_FORMULA) else cell


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _checked(columns: Sequence[str] | None) -> list[str]:
    unknown = [name for name in columns or () if name not in RESULT_ROW.names]
    if unknown:
        raise ConfigError(f"unknown columns {', '.join(unknown)}; there are {', '.join(RESULT_ROW.names)}")
    return RESULT_ROW.names if columns is None else list(columns)


def has_audio(audio: Mapping[str, Any] | None) -> bool:
    return audio is not None and audio["bytes"] is not None


def audio_file_name(utterance_id: str) -> str:
    if not _FILE_NAME.fullmatch(utterance_id):
        raise StorageError(
            f"id {utterance_id!r} is not a safe file name; read this run's audio from its Parquet data"
        )
    return f"{utterance_id}.flac"
