"""The shard log: every shard is committed exactly once, whoever writes it and whatever dies meanwhile.

    data/<shard>/<sha256>.parquet   what an attempt made; nothing until a commit names it
    commit/<shard>.json             created once: which of those objects is the shard
    _SUCCESS                        created once, last: the log is whole

Readers follow commits, never listings of data. An attempt that dies leaves at most an orphan under
`data/`; one that comes second takes the first's result for its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage import ObjectMissing, Store

ROW_GROUP_ROWS = 64  # a row group holds tens of MB of audio at most, and is read in one piece
# The rows of one voice repeat its waveform and codes: the dictionary of a row group must hold all of
# them, or Parquet stores every repeat. Parquet looks at this bound between write batches (1,024 rows, or
# less where a chunk ends), so joining chunks does most of it.
_DICTIONARY_BYTES = 256 * 2**20
_READERS = 8
_SHARD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DATA_KEY = re.compile(r"data/[A-Za-z0-9_-]{1,64}/[0-9a-f]{64}\.parquet")

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Commit:
    """Which data object a shard is. `extra` holds small statistics of the writer's choice."""

    shard: str
    key: str  # in the log's folder
    sha256: str  # of the object's bytes
    rows: int
    attempt: str
    bytes: int
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShardLog:
    """The shards under `prefix` of a store (its root if empty)."""

    store: Store
    prefix: str = ""

    def write_shard(self, shard: str, table: pa.Table, attempt: str, extra: Mapping[str, Any]) -> Commit:
        """Stores and commits a shard; the commit returned is the one that stands, ours or an earlier one.

        `attempt` names the caller uniquely, for people who look for the origin of a shard. Raises
        StorageError; the shard may then be written again.
        """
        data = parquet_bytes(table)
        sha256 = hashlib.sha256(data).hexdigest()
        key = _data_key(shard, sha256)
        commit = Commit(shard, key, sha256, table.num_rows, attempt, len(data), dict(extra))
        # put even if it is there: what an attempt before us left may be old enough for garbage.py
        self.store.put(self._path(key), data)
        if self.store.create(self._path(_commit_key(shard)), _to_json(asdict(commit))):
            if not self.store.exists(self._path(key)):
                # this process was stopped for so long that what it had put was taken for garbage
                self.store.put(self._path(key), data)
            return commit
        standing = self.read_commit(shard)
        if standing is None:
            raise StorageError(f"{self._named(shard)}: its commit was refused and is not there; run again")
        if standing.key != key:
            # no one can commit these bytes any more
            self.store.delete(self._path(key))
        return standing

    def replace_shard(self, old: Commit, table: pa.Table, attempt: str, extra: Mapping[str, Any]) -> Commit:
        """Puts another content in a committed shard's place and deletes the old: see withdrawal.py.

        Only while nobody writes. Killed on its way it leaves the old shard, or the new one and an orphan.
        """
        data = parquet_bytes(table)
        sha256 = hashlib.sha256(data).hexdigest()
        key = _data_key(old.shard, sha256)
        commit = Commit(old.shard, key, sha256, table.num_rows, attempt, len(data), dict(extra))
        self.store.put(self._path(key), data)
        self.store.put(self._path(_commit_key(old.shard)), _to_json(asdict(commit)))
        if key != old.key:
            self.store.delete(self._path(old.key))
        return commit

    def read_commit(self, shard: str) -> Commit | None:
        """The shard's commit, if it has one. Raises StorageError for a damaged record."""
        try:
            record = self.store.get(self._path(_commit_key(shard)))
        except ObjectMissing:
            return None
        try:
            commit = Commit(**json.loads(record))
        except (ValueError, TypeError) as error:
            raise StorageError(
                f"{self._named(shard)}: its commit is damaged; restore or delete it"
            ) from error
        if commit.shard != shard or commit.key != _data_key(shard, commit.sha256):
            raise StorageError(f"{self._named(shard)}: its commit names another's data; restore or delete it")
        return commit

    def committed_shards(self) -> set[str]:
        """Names of the committed shards, from one listing."""
        names = (key.rpartition("/")[2] for key in self.store.list(self._path("commit")))
        return {name[:-5] for name in names if name.endswith(".json") and _SHARD.fullmatch(name[:-5])}

    def commits(self) -> Iterator[Commit]:
        """Every commit, in the order of the shards' names."""
        for commit in read_ahead(self.read_commit, sorted(self.committed_shards())):
            if commit is not None:
                yield commit

    def read_table(self, commit: Commit, columns: Sequence[str] | None = None) -> pa.Table:
        """A shard's rows; without `columns` all is read and checked against the commit's SHA-256.

        Raises StorageError when the data is missing or is not what was committed; KeyError for a column
        that the shard does not have.
        """
        path = self._path(commit.key)
        try:
            if columns is None:
                data = self.store.get(path)
                if hashlib.sha256(data).hexdigest() != commit.sha256:
                    raise StorageError(f"{self._named(commit.shard)}: its data is not what was committed")
                table = pq.ParquetFile(io.BytesIO(data)).read()
            else:
                with self.store.open(path) as file:
                    table = pq.ParquetFile(file).read(columns=list(columns)).select(list(columns))
        except (ObjectMissing, OSError, pa.ArrowInvalid) as error:  # Arrow's of damaged pages are OSErrors
            raise StorageError(
                f"{self._named(commit.shard)}: its data cannot be read ({_line(error)}); restore it, or "
                f"delete {_commit_key(commit.shard)} to make the shard again"
            ) from error
        if table.num_rows != commit.rows:
            raise StorageError(
                f"{self._named(commit.shard)}: {table.num_rows} rows, but {commit.rows} were committed"
            )
        return table

    def column_names(self, commit: Commit) -> list[str]:
        """The columns of a shard, which may be of an older version. Raises StorageError."""
        with self.store.open(self._path(commit.key)) as file:
            try:
                return list(pq.ParquetFile(file).schema_arrow.names)
            except (OSError, pa.ArrowInvalid) as error:
                raise StorageError(
                    f"{self._named(commit.shard)}: its data is damaged ({_line(error)})"
                ) from error

    def orphans(self) -> Iterator[tuple[str, bool]]:
        """Keys of the data objects that no commit names, and whether their shard has a commit.

        With one, nobody can commit them any more. Without, they may wait for theirs. Other files are not
        ours.
        """
        # listed first: what is committed meanwhile is then seen among the commits
        stored = self._stored()
        named = {commit.shard: commit.key for commit in self.commits()}
        for key in stored:
            shard = key.split("/")[1]
            if named.get(shard) != key:
                yield key, shard in named

    def remove_orphans(self, commits: Iterable[Commit]) -> list[str]:
        """Deletes what other attempts left of these shards, while others write, too; returns the keys.

        They can be committed no more. Of a shard without a commit nothing is touched: see garbage.py. Each
        is looked up once more: a withdrawal may have replaced the commit since it was read.
        """
        named = {commit.shard: commit.key for commit in commits}
        settled = [key for key in self._stored() if named.get(key.split("/")[1], key) != key]
        removed = []
        for key in settled:
            standing = self.read_commit(key.split("/")[1])
            if standing is not None and standing.key != key:
                self.store.delete(self._path(key))
                removed.append(key)
        return removed

    def _stored(self) -> list[str]:
        """Keys of the data objects, in the log's folder."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        keys = (key.removeprefix(prefix) for key in self.store.list(self._path("data")))
        return [key for key in keys if _DATA_KEY.fullmatch(key)]

    def clear(self) -> None:
        """Deletes every shard, commits first. Only while nobody writes."""
        for folder in ("commit", "data"):
            self.store.delete_folder(self._path(folder))

    def mark_success(self, payload: Mapping[str, Any]) -> bool:
        """Says, once, that the log is whole. False if that was said already with another payload."""
        return self.store.create(self._path("_SUCCESS"), _to_json(payload))

    def success(self) -> dict[str, Any] | None:
        """What `mark_success` wrote, if it has; a damaged one says nothing, and is written anew."""
        try:
            payload: dict[str, Any] = json.loads(self.store.get(self._path("_SUCCESS")))
        except (ObjectMissing, ValueError):
            return None
        return payload

    def _path(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _named(self, shard: str) -> str:
        return f"{self.store.uri}: shard {self._path(shard)}"


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file: equal tables give equal bytes, however their chunks lie."""
    buffer = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        buffer,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        write_page_index=True,
    )
    return buffer.getvalue()


def read_ahead(read: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`map` with a few items under way at once: results in order, never many in memory."""
    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) == _READERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _data_key(shard: str, sha256: str) -> str:
    return f"data/{_checked(shard)}/{sha256}.parquet"


def _commit_key(shard: str) -> str:
    return f"commit/{_checked(shard)}.json"


def _checked(shard: str) -> str:
    if not _SHARD.fullmatch(shard):
        raise ValueError(f"{shard!r} is not a shard name: 1 to 64 of A-Z a-z 0-9 _ -")
    return shard


def _line(error: Exception) -> str:
    """Arrow says it in several."""
    return " ".join(str(error).split())


def _to_json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, allow_nan=False).encode()
