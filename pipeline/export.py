"""A run's audio as files in a folder, for people who want files. Nothing that somebody else wrote is lost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.commit import read_ahead
from pipeline.destination import open_destination
from pipeline.errors import ConfigError, some_of
from pipeline.records import Row
from pipeline.results import audio_file_name, has_audio, iter_results
from pipeline.storage import ObjectMissing, Store

LISTING = "metadata.jsonl"
# what `datasets` reads too; it refuses a folder that has two of them
_OTHER_LISTINGS = ("metadata.csv", "metadata.parquet")
_LISTED = ("utterance_id", "target_text", "wer", "cer", "similarity")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many audio files there are now, how many of them there were before, and rows without audio."""

    files: int
    unchanged: int
    skipped: int
    stale: tuple[str, ...] = ()  # FLAC files in the folder that are none of the run's, or not any more


def export_audio(uri: str, destination_uri: str, *, overwrite: bool = False) -> ExportReport:
    """Writes `<utterance_id>.flac` for every row that has audio, and `metadata.jsonl` with text and scores.

    The folder is one that `datasets.load_dataset("audiofolder")` reads, and no CSV: there ids would become
    numbers, and texts would need a guard against spreadsheets. Doing it again writes what is missing. A file
    whose content would be lost is in the way: unless `overwrite`, ConfigError is raised for it before
    anything is written.
    """
    destination = open_destination(destination_uri)
    listing: list[bytes] = []
    skipped = 0
    found: dict[str, Literal["absent", "same", "other"]] = {}
    for rows, without_audio in _shards(uri):
        skipped += without_audio
        files = {audio_file_name(row["utterance_id"]): row["audio"]["bytes"] for row in rows}
        states = read_ahead(lambda file: _state(destination, *file), files.items())
        found.update(zip(files, states, strict=True))
        listing += [
            json_line({"file_name": name} | {column: row[column] for column in _LISTED}).encode()
            for name, row in zip(files, rows, strict=True)
        ]
    others = [name for name in _OTHER_LISTINGS if destination.exists(name)]
    in_the_way = [*([LISTING] if _would_lose(destination, listing) else []), *others]
    in_the_way += [name for name, state in found.items() if state == "other"]
    if in_the_way and not overwrite:
        raise ConfigError(
            f"{destination_uri} holds {some_of(in_the_way)} with other content than this run's; "
            "name another folder, or give --overwrite to replace"
        )
    for rows, _ in _shards(uri):
        for row in rows:
            # a run that goes on meanwhile may have more rows by now
            if found.get(name := audio_file_name(row["utterance_id"]), "same") != "same":
                destination.put(name, row["audio"]["bytes"])
    for name in others:
        destination.delete(name)
    destination.put(LISTING, b"".join(line + b"\n" for line in listing))
    unchanged = sum(state == "same" for state in found.values())
    stale = tuple(key for key in destination.list() if key.endswith(".flac") and key not in found)
    return ExportReport(len(found), unchanged, skipped, stale)


def _shards(uri: str) -> Iterator[tuple[list[Row], int]]:
    """The rows of each shard that have audio, and how many have none."""
    for table in iter_results(uri, [*_LISTED, "audio"]):
        rows = [row for row in table.to_pylist() if has_audio(row["audio"])]
        yield rows, table.num_rows - len(rows)


def _state(destination: Store, name: str, data: bytes) -> Literal["absent", "same", "other"]:
    try:
        # the size first: a file of another is not fetched
        return "same" if destination.size(name) == len(data) and destination.get(name) == data else "other"
    except ObjectMissing:
        return "absent"


def _would_lose(destination: Store, listing: Sequence[bytes]) -> bool:
    """Whether a listing is there that says anything `listing` does not; that of a part of this run is not."""
    try:
        return not set(destination.get(LISTING).splitlines()) <= set(listing)
    except ObjectMissing:
        return False


def json_line(record: Row) -> str:
    """The record as one line of JSON; numbers that JSON does not have are null."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)
