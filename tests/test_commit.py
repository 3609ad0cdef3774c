"""The commit protocol, on a real folder and on moto, with attempts that die and attempts that race."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from pipeline.commit import Commit, ShardLog, parquet_bytes, read_ahead
from pipeline.errors import StorageError
from pipeline.storage import Store, open_store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(
        str(tmp_path / "run") if request.param == "local" else request.getfixturevalue("s3") + "/run"
    )


def table(payload: int, rows: int = 3) -> pa.Table:
    return pa.table({"row": list(range(rows)), "payload": [payload] * rows})


# ---- one writer


def test_a_shard_is_what_was_written(store: Store) -> None:
    log = ShardLog(store)
    assert log.read_commit("s-1") is None
    commit = log.write_shard("s-1", table(7), "attempt-1", {"failed": 1})
    data = store.get(commit.key)
    assert commit == Commit(
        shard="s-1",
        key=f"data/s-1/{hashlib.sha256(data).hexdigest()}.parquet",
        sha256=hashlib.sha256(data).hexdigest(),
        rows=3,
        attempt="attempt-1",
        bytes=len(data),
        extra={"failed": 1},
    )
    assert pq.read_table(io.BytesIO(data)).equals(table(7))
    assert log.read_commit("s-1") == commit
    assert log.read_table(commit).equals(table(7))
    assert log.read_table(commit, ["payload"]).equals(table(7).select(["payload"]))
    assert log.read_table(commit, ["payload", "row"]).column_names == ["payload", "row"]
    with pytest.raises(KeyError, match="nothing"):
        log.read_table(commit, ["nothing"])


def test_a_second_writer_takes_the_firsts_result(store: Store) -> None:
    log = ShardLog(store)
    first = log.write_shard("s", table(1), "first", {})
    assert log.write_shard("s", table(2), "second", {}) == first
    assert log.write_shard("s", table(2), "first", {}) == first, "a retry under the same name is no exception"
    assert log.write_shard("s", table(1), "third", {}) == first
    assert list(store.list("data")) == [first.key], "the losers' data is gone, the winner's is not"


def test_logs_under_a_prefix_do_not_meet(store: Store) -> None:
    results, samples = ShardLog(store), ShardLog(store, prefix="samples")
    samples.write_shard("s", table(1), "a", {})
    assert results.committed_shards() == set()
    commit = results.write_shard("s", table(2), "b", {})
    assert samples.remove_orphans(samples.commits()) == results.remove_orphans([commit]) == []
    assert {key.rpartition("/")[0] for key in store.list()} == {
        "commit",
        "data/s",
        "samples/commit",
        "samples/data/s",
    }
    assert results.read_table(commit).equals(table(2))


def test_commits_are_listed_in_order(store: Store) -> None:
    log = ShardLog(store)
    names = [f"{i:05d}" for i in range(20)]
    for name in reversed(names):
        log.write_shard(name, table(int(name)), "a", {})
    store.put("commit/notes.txt", b"not a commit")
    store.put("commit/no commit.json", b"not a commit")
    assert log.committed_shards() == set(names)
    assert [commit.shard for commit in log.commits()] == names


def test_a_shard_may_be_empty(store: Store) -> None:
    log = ShardLog(store)
    commit = log.write_shard("empty", table(0).slice(0, 0), "a", {})
    assert commit.rows == 0
    assert log.read_table(commit).schema == table(0).schema


@pytest.mark.parametrize("shard", ["", "a/b", "..", "a.b", "a b", "ä", "x" * 65, "a\n"])
def test_shard_names_are_plain(tmp_path: Path, shard: str) -> None:
    log = ShardLog(open_store(str(tmp_path)))
    with pytest.raises(ValueError, match="not a shard name"):
        log.write_shard(shard, table(1), "a", {})
    with pytest.raises(ValueError, match="not a shard name"):
        log.read_commit(shard)


def test_success_is_said_once(store: Store) -> None:
    log = ShardLog(store)
    assert log.success() is None
    assert log.mark_success({"shards": 2, "rows": 9})
    assert log.mark_success({"rows": 9, "shards": 2}), "the same again is no conflict"
    assert not log.mark_success({"shards": 3, "rows": 9})
    assert log.success() == {"shards": 2, "rows": 9}
    assert list(store.list()) == ["_SUCCESS"]


# ---- damage


def test_damaged_data_is_refused(store: Store) -> None:
    log = ShardLog(store)
    commit = log.write_shard("s-1", table(1), "a", {})
    store.put(commit.key, parquet_bytes(table(2)))
    with pytest.raises(StorageError, match="shard s-1: its data is not what was committed"):
        log.read_table(commit)
    store.put(commit.key, parquet_bytes(table(1, rows=2)))
    with pytest.raises(StorageError, match="shard s-1: 2 rows, but 3 were committed"):
        log.read_table(commit, ["row"])
    store.put(commit.key, b"PAR1 and no more")
    with pytest.raises(StorageError, match="shard s-1: its data cannot be read"):
        log.read_table(commit, ["row"])
    store.delete(commit.key)
    for columns in (None, ["row"]):
        with pytest.raises(StorageError, match="shard s-1: its data cannot be read"):
            log.read_table(commit, columns)


@pytest.mark.parametrize(
    "change",
    [lambda record: record[:-9], lambda record: b"", lambda record: b"[]", lambda record: b"\xff",
     lambda record: record.replace(b'"rows"', b'"lines"'), lambda record: record.replace(b'"s"', b'"t"'),
     lambda record: record.replace(b"data/s/", b"data/t/"), lambda record: record.replace(b"data/s/", b"../../")],
)  # fmt: skip
def test_a_damaged_commit_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    store = open_store(str(tmp_path))
    log = ShardLog(store)
    log.write_shard("s", table(1), "a", {})
    record = store.get("commit/s.json")
    assert change(record) != record
    store.put("commit/s.json", change(record))
    with pytest.raises(StorageError, match="shard s: its commit"):
        list(log.commits())


# ---- many writers, some of whom die


class Crash(Exception):
    """The process is gone."""


@dataclass
class Dying:
    """A store whose process dies before its n-th write, or lets a rival act just before it."""

    store: Store
    dies_before: int | None
    meanwhile: tuple[int, Callable[[], None]] | None
    writes: int = field(default=0)

    def put(self, key: str, data: bytes) -> None:
        self._step()
        self.store.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        self._step()
        created = self.store.create(key, data)
        self._step()  # after the commit, before anyone hears of it
        return created

    def delete(self, key: str) -> None:
        self._step()
        self.store.delete(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def _step(self) -> None:
        if self.meanwhile is not None and self.writes == self.meanwhile[0]:
            self.meanwhile[1]()
        if self.writes == self.dies_before:
            raise Crash
        self.writes += 1


@dataclass(frozen=True)
class Attempt:
    shard: str
    payload: int
    dies_before: int | None
    rival: Attempt | None = None
    rival_at: int = 0


shards, payloads = st.sampled_from(["s0", "s1"]), st.integers(0, 2)
deaths = st.one_of(st.none(), st.integers(0, 3))
lone_attempts = st.builds(Attempt, shards, payloads, deaths)
attempts = st.recursive(
    lone_attempts,
    lambda rivals: st.builds(Attempt, shards, payloads, deaths, rivals, st.integers(0, 3)),
    max_leaves=4,
)


def check_protocol(store: Store, plan: list[Attempt]) -> None:
    log = ShardLog(store)
    names = iter(range(10**6))
    payload_of: dict[str, int] = {}
    standing: dict[str, Commit] = {}

    def look() -> None:
        """A reader, at any moment: what was committed stays committed, and is whole."""
        for commit in log.commits():
            assert standing.setdefault(commit.shard, commit) == commit
            assert log.read_table(commit).equals(table(payload_of[commit.attempt]))
            assert log.read_table(commit, ["row"]).num_rows == 3
        assert standing.keys() == log.committed_shards()

    def run(attempt: Attempt) -> None:
        name = f"attempt-{next(names)}"
        payload_of[name] = attempt.payload
        rival = attempt.rival
        meanwhile = None if rival is None else (attempt.rival_at, lambda: run(rival))
        dying = replace(log, store=Dying(store, attempt.dies_before, meanwhile))
        try:
            commit = dying.write_shard(attempt.shard, table(attempt.payload), name, {})
        except Crash:
            look()
        else:
            look()
            assert standing[attempt.shard] == commit, "every attempt that ends knows the one winner"

    for attempt in plan:
        run(attempt)
    waiting = {key for key in store.list("data") if key.split("/")[1] not in standing}
    log.remove_orphans(log.commits())
    named = {commit.key for commit in standing.values()}
    assert set(store.list("data")) == named | waiting, "what may still be committed is left alone"
    look()


@settings(max_examples=80, deadline=None)
@given(st.lists(attempts, max_size=5))
def test_one_winner_whoever_dies(plan: list[Attempt]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_protocol(open_store(folder), plan)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(attempts, max_size=4))
def test_one_winner_whoever_dies_on_s3(s3: str, plan: list[Attempt]) -> None:
    check_protocol(open_store(f"{s3}/{uuid.uuid4()}"), plan)


def test_speculative_writers_in_threads(store: Store) -> None:
    log = ShardLog(store)
    start = threading.Barrier(8)

    def write(worker: int) -> list[Commit]:
        start.wait()
        return [log.write_shard(f"s{i}", table(worker), f"w{worker}", {}) for i in range(4)]

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(write, range(8)))
    assert all(commits == seen[0] for commits in seen), "all workers were told the same winners"
    assert list(log.commits()) == seen[0]
    for commit in seen[0]:
        assert log.read_table(commit).equals(table(int(commit.attempt.removeprefix("w"))))
    assert sorted(store.list("data")) == sorted(commit.key for commit in seen[0])


def test_what_no_commit_can_name_is_an_orphan_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    log = ShardLog(store)
    commit = log.write_shard("s", table(1), "a", {})
    orphan, waiting = f"data/s/{'0' * 64}.parquet", f"data/t/{'0' * 64}.parquet"
    theirs = ["data/anna.flac", "data/s/notes.parquet", "data/voices/a.csv"]
    for key in (orphan, waiting, *theirs):
        store.put(key, b"x")
    assert dict(log.orphans()) == {orphan: True, waiting: False}
    assert log.remove_orphans(log.commits()) == [orphan]
    assert list(store.list("data")) == sorted([commit.key, waiting, *theirs])


# ---- Parquet


def test_what_has_replaced_a_commit_since_it_was_read_is_no_orphan(store: Store) -> None:
    """A driver that slept in `finish` while a voice was withdrawn."""
    log = ShardLog(store)
    known = [log.write_shard(name, table(1), "a", {}) for name in ("s0", "s1")]
    store.put(f"data/s1/{'0' * 64}.parquet", b"of an attempt that lost")
    new = log.replace_shard(known[0], table(2), "withdrawal", {})
    assert log.remove_orphans(known) == [f"data/s1/{'0' * 64}.parquet"]
    assert log.read_table(new).equals(table(2))
    assert log.read_table(known[1]).equals(table(1))


@pytest.mark.parametrize("data", [b"", b'{"sha'])
def test_a_damaged_success_says_nothing(store: Store, data: bytes) -> None:
    store.put("_SUCCESS", data)
    assert ShardLog(store).success() is None


def test_equal_tables_are_equal_bytes() -> None:
    whole = pa.table(
        {"x": list(range(200)), "s": ["a", None] * 100, "b": [{"bytes": b"1", "path": None}] * 200}
    )
    pieces = pa.concat_tables([whole.slice(0, 3), whole.slice(3, 100), whole.slice(103)])
    assert parquet_bytes(pieces) == parquet_bytes(whole) == parquet_bytes(whole)
    assert parquet_bytes(whole.slice(1)) != parquet_bytes(whole)
    # columns of more than a page (1 MB): Parquet would end pages where chunks end
    long = pa.table({"ids": [np.random.default_rng(i).integers(0, 2**60, 40_000) for i in range(64)]})
    assert parquet_bytes(pa.concat_tables([long.slice(0, 31), long.slice(31)])) == parquet_bytes(long)


def test_a_voice_is_stored_once_per_row_group_and_a_row_group_is_read_alone() -> None:
    voice = os.urandom(3_000_000)
    # 100 rows are two row groups, of 64 and 36 rows: two copies of the voice, 6 MB in all, and not 300
    data = parquet_bytes(pa.table({"row": list(range(100)), "waveform": [voice] * 100}))
    assert 6_000_000 < len(data) < 6_100_000
    file = pq.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [64, 36]
    assert file.read_row_group(1, columns=["row"])["row"].to_pylist() == list(range(64, 100))
    column = file.metadata.row_group(0).column(0)
    assert column.has_offset_index
    assert column.has_column_index


def test_commit_records_are_plain_json(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    commit = ShardLog(store).write_shard("s", table(1), "a", {"failed": 0})
    record = json.loads(store.get("commit/s.json"))
    assert record.keys() == {"shard", "key", "sha256", "rows", "attempt", "bytes", "extra"}
    assert record["bytes"] == (tmp_path / commit.key).stat().st_size
    with pytest.raises(ValueError, match="JSON"):
        ShardLog(store).write_shard("t", table(1), "a", {"mean": float("nan")})


def test_read_ahead_keeps_order_and_few_in_hand() -> None:
    begun = []

    def read(item: int) -> int:
        begun.append(item)
        return item * item

    results = read_ahead(read, range(100))
    assert next(results) == 0
    assert len(begun) <= 8
    assert list(results) == [i * i for i in range(1, 100)]
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda item: 1 // item, [1, 0]))
