"""Shards of about one size, numbered in each split; equal rows give equal bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

import pyarrow as pa

from pipeline.commit import parquet_bytes
from pipeline.records import Row, to_table
from pipeline.storage import Store

SHARD_BYTES = 128 * 2**20  # one of each split is in memory
_ROW_BYTES = 1024  # about what a row has besides its audio and codes


class ParquetShards:
    """Rows of one split as Parquet files: `name` has a place for the number (`data/train-%05d.parquet`)."""

    def __init__(self, store: Store, name: str, schema: pa.Schema, shard_bytes: int = SHARD_BYTES) -> None:
        self._store, self._name, self._schema = store, name, schema
        self._shard_bytes = shard_bytes
        self._rows: list[Row] = []
        self._bytes = 0
        self._written = 0

    def add(self, row: Row, heavy_bytes: int) -> None:
        """`heavy_bytes` is the size of the row's audio and codes."""
        self._rows.append(row)
        self._bytes += heavy_bytes + _ROW_BYTES
        if self._bytes >= self._shard_bytes:
            self.close()

    def close(self) -> None:
        """Writes the rows that are held, if there are any."""
        if self._rows:
            table = to_table(self._rows, self._schema)
            self._store.put(self._name % self._written, parquet_bytes(table))
            self._written += 1
            self._rows, self._bytes = [], 0


class TarShards:
    """Files of one split as tars; what is added together lies in one tar, in its order. `written` counts
    them."""

    def __init__(self, store: Store, name: str, shard_bytes: int = SHARD_BYTES) -> None:
        self._store, self._name = store, name
        self._shard_bytes = shard_bytes
        self._buffer = io.BytesIO()
        self._tar: tarfile.TarFile | None = None
        self.written = 0

    def add(self, files: Sequence[tuple[str, bytes]]) -> bool:
        """Takes (name, content) pairs; True when the shard was full with them and is written."""
        if self._tar is None:
            self._buffer = io.BytesIO()
            self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.USTAR_FORMAT)
        for name, content in files:
            entry = tarfile.TarInfo(name)  # no time, no owner
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        full = self._buffer.tell() >= self._shard_bytes
        if full:
            self.close()
        return full

    def close(self) -> None:
        """Writes the shard that is held, if there is one."""
        if self._tar is not None:
            self._tar.close()
            self._store.put(self._name % self.written, self._buffer.getvalue())
            self.written += 1
            self._tar = None
