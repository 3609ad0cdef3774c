"""A table of cues (CSV), as studios keep them: start, end, text and speaker, in columns of any name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from pipeline.dubbing.voices import seconds_of
from pipeline.errors import ConfigError, ManifestError, printable
from pipeline.programme.subtitles import MAX_BYTES, Cue, checked, decoded

FIELDS = ("start", "end", "text", "speaker")


def columns_from(given: Sequence[str]) -> dict[str, str]:
    """`["text=Dialogue", "speaker=Character"]` as a map from field to column. Raises ConfigError."""
    columns = dict(zip(FIELDS, FIELDS, strict=True))
    for pair in given:
        field, equals, column = pair.partition("=")
        if field not in FIELDS or not equals or not column.strip():
            raise ConfigError(f"--column {pair!r}: write FIELD=COLUMN, the field one of {', '.join(FIELDS)}")
        columns[field] = column.strip()
    return columns


def read_cue_sheet(data: bytes, name: str, columns: Mapping[str, str]) -> list[Cue]:
    """The rows, by start, numbered from 1; `speaker` need not be there. Comma, semicolon or tab.

    Times are seconds or `H:MM:SS.mmm`. Raises ManifestError: too large, not UTF-8, no such column, a row
    that cannot be read.
    """
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{name}: above {MAX_BYTES} bytes; split it")
    text = decoded(data, name)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    cues = []
    try:
        found = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = found
        # a speaker's column is looked for, and one that was named must be there
        needed = [columns[field] for field in FIELDS if field != "speaker" or columns[field] != field]
        if missing := [column for column in needed if column not in found]:
            told = ", ".join(map(printable, found)) or "none"
            raise ManifestError(
                f"{name}: no column {', '.join(missing)}; found {told}: name it with --column"
            )
        for number, row in enumerate(reader, start=1):
            cues.append(_cue(row, columns, number))
    except (csv.Error, ValueError) as error:
        raise ManifestError(f"{name}: line {reader.line_num}: {printable(str(error))}") from error
    return checked(cues, name)


def _cue(row: Mapping[str, str | None], columns: Mapping[str, str], number: int) -> Cue:
    start, end, text, speaker = ((row.get(columns[field]) or "").strip() for field in FIELDS)
    return Cue(seconds_of(start), seconds_of(end), text, speaker or None, number)
