"""A manifest is a stream: however long it is, no more than a row or a batch of it is in memory."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.manifest import read_manifest


class Endless(io.RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (line := next(self._lines, None)) is not None:
            self._rest += line
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@pytest.mark.parametrize(("name", "count"), [("m.csv", 200_000), ("m.jsonl", 50_000)])
def test_a_long_manifest_is_never_whole_in_memory(name: str, count: int) -> None:
    """15 MB of CSV, 5 MB of JSONL."""
    line = (
        "u{0},v/{0}.wav,{1}\n" if name == "m.csv" else '{{"id": "u{0}", "ref": "v/{0}.wav", "text": "{1}"}}\n'
    )
    data = (line.format(number, "word " * 10).encode() for number in range(count))
    file = Endless(chain([b"id,ref,text\n"] if name == "m.csv" else [], data))
    tracemalloc.start()
    try:
        last = 0
        for row in read_manifest(file, name):  # type: ignore[arg-type]
            last = row.row
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last == count
    assert peak < 2 << 20


def test_parquet_is_read_by_batches() -> None:
    """One row group of 20 MB of text."""
    count = 100_000
    text = [f"{i:09d}" * 22 for i in range(count)]
    buffer = io.BytesIO()
    pq.write_table(
        pa.table({"ref": ["v.wav"] * count, "text": text}), buffer, use_dictionary=False, compression="none"
    )
    del text
    before, peak, last = pa.total_allocated_bytes(), 0, 0
    tracemalloc.start()
    try:
        for row in read_manifest(buffer, "m.parquet"):
            last = row.row
            if last % 1024 == 0:
                peak = max(peak, pa.total_allocated_bytes() - before)
        peak += tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last == count
    assert peak < 10 << 20
