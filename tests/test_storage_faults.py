"""What a store raises while an object is read, long after it was opened."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest
from botocore.exceptions import NoCredentialsError

from pipeline import storage
from pipeline.commit import ShardLog
from pipeline.errors import StorageError
from pipeline.storage import LocalStore, ObjectMissing, open_store
from pipeline.store_faults import reported_file


class Failing(io.BytesIO):
    """Reads well so often, then raises."""

    def __init__(self, data: bytes, error: Exception, good: int = 0) -> None:
        super().__init__(data)
        self.error, self.good = error, good

    def read(self, size: int | None = -1) -> bytes:
        self.good -= 1
        if self.good < 0:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (PermissionError("denied"), StorageError, "check credentials"),
        (ConnectionResetError("reset by peer"), StorageError, "run again"),
        (RuntimeError("GET https://b.example/x?Signature=s3cr3t: SlowDown"), StorageError, "run again"),
        (FileNotFoundError("gone"), ObjectMissing, "check the name"),
        (NoCredentialsError(), StorageError, "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_reading_fails_in_one_line_that_names_the_object(
    error: Exception, kind: type[StorageError], said: str
) -> None:
    file = reported_file(Failing(b"x" * 10**6, error), "s3://bucket/run/plan/0.parquet")
    with pytest.raises(kind, match=rf"s3://bucket/run/plan/0\.parquet: .*{said}") as raised:
        file.read(1000)
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_what_is_read_is_what_is_there() -> None:
    data = bytes(range(256)) * 1000
    with reported_file(io.BytesIO(data), "x") as file:
        assert file.read() == data
        assert file.seek(-7, io.SEEK_END) == len(data) - 7
        assert file.read(100) == data[-7:]
        file.seek(0)
        assert [*file] == [*io.BytesIO(data)]


def test_nobody_is_told_to_delete_a_commit_because_a_store_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ShardLog(open_store(str(tmp_path)))
    commit = log.write_shard("s", pa.table({"row": [1, 2], "text": ["a", "b"]}), "a", {})
    data = (tmp_path / commit.key).read_bytes()
    busy = OSError(16, "please reduce your request rate")
    monkeypatch.setattr(LocalStore, "open", lambda _, key: reported_file(Failing(data, busy), f"store/{key}"))
    for read in (lambda: log.read_table(commit, ["row"]), lambda: log.column_names(commit)):
        with pytest.raises(StorageError, match=r"store/data/s/.*reduce your request rate") as raised:
            read()
        assert "delete" not in str(raised.value)
    monkeypatch.undo()
    for damaged in (data[:4] + bytes(60) + data[64:], data[:-9]):  # damaged is another matter
        (tmp_path / commit.key).write_bytes(damaged)
        with pytest.raises(StorageError, match=r"cannot be read .*delete commit/s\.json"):
            log.read_table(commit, ["row"])
    with pytest.raises(StorageError, match="its data is damaged"):
        log.column_names(commit)


def test_every_open_file_is_guarded(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"{s3}/run")
    store.put("x", b"123")
    monkeypatch.setattr(storage, "_open_object", lambda *_: Failing(b"123", PermissionError("denied")))
    for file in (store.open("x"), storage.open_uri(f"{store.uri}/x")):
        with pytest.raises(StorageError, match="check credentials"):
            file.read()
