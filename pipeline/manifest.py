"""A manifest as a stream of rows: CSV, JSONL, Parquet and seed-tts-eval's meta.lst.

What is wrong with the file as a whole raises ManifestError at once; what is wrong with one row is a
`Fault` of that row, and the rows after it are read as if nothing had happened. No more than one row
(Parquet: one batch) is in memory. The fields are described in manifests/README.md.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ManifestError
from pipeline.manifest_columns import FIELDS, Fault, escape, is_text, map_columns

__all__ = ["FIELDS", "FORMATS", "UNREADABLE", "Fault", "ManifestReader", "ManifestRow", "read_manifest"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".lst": "lst",
}
# The parser's own words for a row whose values mean nothing: no other check is worth its message.
UNREADABLE = frozenset({"bad_row", "bad_json"})
MAX_CELL_CHARS = 131_072  # also what Python's csv module stops at
MAX_LINE_BYTES = 1 << 20
_OVERLONG = "\0\n"  # stands for a line that was too long to keep: NUL makes any row that meets it a bad one
_NUL = Fault("bad_row", f"a NUL byte, or a line above {MAX_LINE_BYTES} bytes; fix the line")
_META_LST = {
    2: ("id", "text"),
    3: ("id", "text", "ref"),
    4: ("id", "ref_text", "ref", "text"),
    5: ("id", "ref_text", "ref", "text", "ground_truth"),
}


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A row as written. `row` counts data rows from 1; `values` maps canonical names to what stood there
    (strings in CSV and meta.lst; strings, numbers and booleans in JSONL and Parquet; nulls left out)."""

    row: int
    values: dict[str, Any]
    faults: list[Fault] = field(default_factory=list)


def read_manifest(
    file: BinaryIO, name: str, format: str | None = None, *, required: Collection[str] = ("ref", "text")
) -> ManifestReader:
    """Rows of a manifest, one at a time; see ManifestReader."""
    return ManifestReader(file, name, format, required=required)


class ManifestReader:
    """Iterates over the rows of a manifest.

    file: binary, read forwards only (Parquet: seekable); the caller closes it.
    name: path or URI, for messages and for the format's suffix.
    format: csv (`,` `;` or tab), jsonl, parquet or lst; by default what the suffix says. `txt`, a text a
        line, is read by those who ask for it.
    required: columns that must exist (CSV, Parquet; in the other formats each row is its own header).
    also: columns beyond those of a manifest that are to be read, too.
    warnings: columns that are not read, each told once; JSONL adds to them while it is read.
    Raises ManifestError: empty, wrong encoding, unreadable header, unknown or doubled or missing columns.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        format: str | None = None,
        *,
        required: Collection[str] = ("ref", "text"),
        also: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._required = required
        self._also = tuple(also)
        self._ignored: set[str] = set()
        suffix = PurePosixPath(name).suffix.lower()
        chosen = format or FORMATS.get(suffix)
        if chosen == "parquet":
            self._rows = self._parquet(file)
        elif chosen == "csv":
            self._rows = self._csv(_lines(file))
        elif chosen == "jsonl":
            self._rows = self._jsonl(_lines(file))
        elif chosen == "lst":
            self._rows = self._lst(_lines(file))
        elif chosen == "txt":
            self._rows = self._txt(_lines(file))
        else:
            known = ", ".join(sorted(set(FORMATS.values())))
            what = f"unknown format '{format}'" if format else f"cannot tell the format from '{suffix}'"
            raise ManifestError(f"{name}: {what}; name one of {known}")

    def __iter__(self) -> Iterator[ManifestRow]:
        return self._rows

    def __next__(self) -> ManifestRow:
        return next(self._rows)

    # ---- formats

    def _csv(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        first = self._first_line(lines)
        if not is_text(first) or "\0" in first:
            raise ManifestError(f"{self.name}: the header is not UTF-8 text; save the manifest as UTF-8")
        # strict: a stray quote must be a told fault, not a cell that swallows the rows after it
        try:
            reader = csv.reader(chain([first], lines), delimiter=_sniff_delimiter(first), strict=True)
            header = next(reader)
        except csv.Error as error:
            raise ManifestError(f"{self.name}: the header is not CSV ({error}); check its quotes") from error
        return self._csv_rows(reader, self._header(header))

    def _csv_rows(self, reader: Any, columns: tuple[str | None, ...]) -> Iterator[ManifestRow]:
        number = 0
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                where = f"line {start}" if reader.line_num <= start else f"lines {start} to {reader.line_num}"
                yield ManifestRow(number, {}, [Fault("bad_row", f"{where}: {error}; check the quotes")])
                continue
            if not cells:  # a blank line
                continue
            number += 1
            values = _named(columns, cells)
            faults = []
            if any("\0" in cell for cell in cells):
                faults.append(_NUL)
            elif len(cells) != len(columns):
                message = f"{len(cells)} cells under {len(columns)} columns; quote cells that hold delimiters"
                faults.append(Fault("bad_row", message))
            yield _make_row(number, values, faults)

    def _jsonl(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        first = self._first_line(lines)
        if first.lstrip().startswith("["):
            raise ManifestError(f"{self.name}: a JSON array, not JSONL; write one object per line")
        return self._jsonl_rows(chain([first], lines))

    def _jsonl_rows(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        for number, line in enumerate((line for line in lines if line.strip()), start=1):
            if line == _OVERLONG:
                yield ManifestRow(number, {}, [_NUL])
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield ManifestRow(number, {}, [Fault("bad_json", f"not JSON ({escape(str(error))[:200]})")])
                continue
            if not isinstance(record, dict):
                message = f"a JSON {type(record).__name__}; every line must be an object {{...}}"
                yield ManifestRow(number, {}, [Fault("bad_json", message)])
                continue
            columns = map_columns(tuple(record), self._also)
            self._warn(columns.ignored)
            values = _named(columns.fields, record.values())
            yield _make_row(number, values, list(columns.faults))

    def _lst(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        return self._lst_rows(chain([self._first_line(lines)], lines))

    def _lst_rows(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        """The forms and their order are those of seed-tts-eval's get_wav_res_ref_text.py."""
        for number, line in enumerate((line for line in lines if line.strip()), start=1):
            cells = line.strip().split("|")
            names = _META_LST.get(len(cells))
            if len(cells) == 5 and "audio" in self._required:  # the recordings themselves are to be scored
                names = (*_META_LST[4], "audio")
            if line == _OVERLONG or names is None:
                message = f"{len(cells)} fields; write utt|prompt_text|prompt_wav|infer_text[|gt_wav]"
                yield ManifestRow(number, {}, [_NUL if line == _OVERLONG else Fault("bad_row", message)])
                continue
            if len(cells) == 3:
                cells[0] = cells[0].removesuffix(".wav")
            yield _make_row(number, _named(names, cells), [])

    def _txt(self, lines: Iterator[str]) -> Iterator[ManifestRow]:
        first = self._decoded(lines)  # a blank line is a row without a text
        for number, line in enumerate(chain([first] if first else [], lines), start=1):
            values, faults = ({}, [_NUL]) if line == _OVERLONG else ({"text": line}, [])
            yield _make_row(number, values, faults)

    def _parquet(self, file: BinaryIO) -> Iterator[ManifestRow]:
        try:
            # the defaults read a whole row group at once, which may be a million rows
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            schema = parquet.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{self.name}: not readable as Parquet ({_one_line(error)})") from error
        header = self._header(schema.names)
        columns = {raw: name for raw, name in zip(schema.names, header, strict=True) if name}
        for raw in columns:
            kind = schema.field(raw).type
            if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                message = f"column '{raw}' is {kind}; write text or numbers, and audio as a path or URI"
                raise ManifestError(f"{self.name}: {message}")
        return self._parquet_rows(parquet, columns)

    def _parquet_rows(self, parquet: Any, columns: dict[str, str]) -> Iterator[ManifestRow]:
        number = 0
        try:
            for batch in parquet.iter_batches(batch_size=1024, columns=list(columns)):
                cells = [_pylist(batch.column(raw)) for raw in columns]
                for values in zip(*cells, strict=True):
                    number += 1
                    yield _make_row(number, dict(zip(columns.values(), values, strict=True)), [])
        except (pa.ArrowException, OSError) as error:
            message = f"cannot be read after row {number} ({_one_line(error)}); write the file again"
            raise ManifestError(f"{self.name}: {message}") from error

    # ---- headers

    def _decoded(self, lines: Iterator[str]) -> str:
        """The first line, or nothing, of what is UTF-8 as far as it shows."""
        first = next(lines, "").removeprefix("\ufeff")
        # the two byte order marks of UTF-16, as bytes that are not UTF-8 arrive here
        if first.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise ManifestError(f"{self.name}: the manifest is UTF-16; save it as UTF-8")
        return first

    def _first_line(self, lines: Iterator[str]) -> str:
        first = self._decoded(lines)
        if not first.strip():
            raise ManifestError(f"{self.name}: the manifest is empty, or its first line is blank")
        return first

    def _header(self, names: Sequence[str]) -> tuple[str | None, ...]:
        columns = map_columns(tuple(names), self._also)
        if columns.faults:
            raise ManifestError(f"{self.name}: " + "; ".join(fault.message for fault in columns.faults))
        # a voice may be described instead; which of the rows are not, each of them is told
        given = {*columns.fields, *(["ref"] if "voice_description" in columns.fields else [])}
        missing = [name for name in self._required if name not in given]
        if missing:
            wanted = " and ".join(f"'{name}' (or {', '.join(FIELDS[name])})" for name in missing)
            found = ", ".join(f"'{name}'" for name in names)
            raise ManifestError(f"{self.name}: no column {wanted}; found {found or 'none'}")
        self._warn(columns.ignored)
        return columns.fields

    def _warn(self, ignored: tuple[str, ...]) -> None:
        for name in ignored:
            if name not in self._ignored:
                self._ignored.add(name)
                self.warnings.append(f"{self.name}: column '{escape(name)}' is not read")


def _sniff_delimiter(header: str) -> str:
    """The delimiter that makes most sense of the header; data lines hold too many commas to be asked."""

    def known(delimiter: str) -> int:
        cells = next(csv.reader([header], delimiter=delimiter))
        return sum(name is not None for name in map_columns(tuple(cells)).fields)

    return max(",;\t", key=lambda delimiter: (known(delimiter), header.count(delimiter)))


def _lines(file: BinaryIO) -> Iterator[str]:
    """Lines with their `\\n`; bytes that are not UTF-8 become lone surrogates, so that they can be told
    by row. A line above MAX_LINE_BYTES is not kept: `_OVERLONG` stands in its place."""
    tail, overlong = b"", False
    while chunk := file.read(1 << 16):
        *whole, tail = (tail + chunk).split(b"\n")
        for line in whole:
            kept = not overlong and len(line) <= MAX_LINE_BYTES
            yield line.decode("utf-8", "surrogateescape") + "\n" if kept else _OVERLONG
            overlong = False
        if len(tail) > MAX_LINE_BYTES:
            tail, overlong = b"", True
    if tail or overlong:
        yield _OVERLONG if overlong else tail.decode("utf-8", "surrogateescape")


def _pylist(column: Any) -> list[Any]:
    """An Arrow array as Python values; strings are decoded here, since Arrow does not check them."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    raw = column.cast(pa.large_binary()).to_pylist()
    return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]


def _named(names: Iterable[str | None], cells: Iterable[Any]) -> dict[str, Any]:
    """Cells by field, less those that are not read. A ragged row keeps what it has."""
    return {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _make_row(number: int, values: dict[str, Any], faults: list[Fault]) -> ManifestRow:
    """The row with what no later step could carry taken out of its strings, and said as a fault."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, int | float):
            kept[name] = value
            continue
        if not isinstance(value, str):
            kind = type(value).__name__
            faults.append(Fault(f"bad_{name}", f"'{name}' is of type {kind}; write text or a number"))
            kept[name] = f"<{kind}>"
            continue
        if "\0" in value and _NUL not in faults:
            faults.append(_NUL)
        if len(value) > MAX_CELL_CHARS:
            faults.append(Fault("bad_row", f"'{name}' is above {MAX_CELL_CHARS} characters; shorten it"))
        if not is_text(value):
            faults.append(Fault("bad_encoding", f"'{name}' is not UTF-8 text; save the manifest as UTF-8"))
        kept[name] = escape(value[:MAX_CELL_CHARS])
    return ManifestRow(number, kept, faults)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
