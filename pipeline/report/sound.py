"""The clips of a page: embedded for the worst rows as far as they fit, else linked where a file lies near."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from pipeline.commit import Commit, ShardLog, read_ahead
from pipeline.errors import RowError
from pipeline.records import Row
from pipeline.report.rows import is_rejected, makes_sound
from pipeline.report.voices import references_of
from pipeline.results import has_audio
from pipeline.sources import read_source
from pipeline.storage import Store
from pipeline.uri_rules import PUBLIC_ONLY
from pipeline.uris import is_local, local_path

Mode = Literal["embed", "link", "none"]
Source = dict[str, str]  # {"clip": key of an embedded clip} or {"href": relative address}
_USUAL_SAMPLES = 100_000  # of a row that does not say how many it has
_BYTES_PER_SAMPLE = 0.6  # of speech as 16-bit FLAC, rather too few: the true size decides in the end
_MAX_REFERENCE_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Clip:
    key: str
    mime: str
    base64: str


@dataclass(slots=True)
class Sounds:
    """Where the page finds the sound of a row (by its number) and of a reference (by its URI)."""

    clips: list[Clip] = field(default_factory=list)
    results: dict[int, Source] = field(default_factory=dict)
    references: dict[str, Source] = field(default_factory=dict)
    embedded_bytes: int = 0
    unreadable_references: int = 0

    @property
    def linked(self) -> bool:
        return any("href" in source for source in [*self.results.values(), *self.references.values()])

    @property
    def embedded_results(self) -> int:
        return sum("clip" in source for source in self.results.values())


def gather(run: Store, worst: Sequence[Row], page_folder: str, mode: Mode, max_bytes: int) -> Sounds:
    """`worst` are the run's rows in the order in which they shall be heard. Embedded sound takes at most
    `max_bytes` of the page."""
    sounds = Sounds()
    if mode == "none":
        return sounds
    if mode == "embed":
        _embed(sounds, run, worst, max_bytes)
    _link(sounds, run, worst, page_folder)
    return sounds


def media_type(data: bytes) -> str | None:
    """By the first bytes. What is not known as sound is never put into a page, whatever its name says."""
    if data.startswith(b"fLaC"):
        return "audio/flac"
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        return "audio/wav"
    if data.startswith(b"OggS"):
        return "audio/ogg"
    if data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):
        return "audio/mpeg"
    return "audio/mp4" if data[4:8] == b"ftyp" else None


def link(page_folder: str, target: str) -> str | None:
    """The relative address of a file as seen from the page; None where a browser would not find it."""
    if is_local(page_folder) and is_local(target):
        path = os.path.relpath(local_path(target), local_path(page_folder))
    elif not is_local(target) and target.startswith(f"{page_folder.rstrip('/')}/"):
        path = target[len(page_folder.rstrip("/")) + 1 :]
    else:
        return None
    # led by a dot, a name with a colon is no scheme
    return quote(path if path.startswith(".") else f"./{path}")


def _embed(sounds: Sounds, run: Store, worst: Sequence[Row], max_bytes: int) -> None:
    wanted, expected = [], 0.0
    for row in filter(makes_sound, worst):
        if expected > max_bytes:
            break
        wanted.append(row)
        expected += (row["num_samples"] or _USUAL_SAMPLES) * _BYTES_PER_SAMPLE * 4 / 3
    audio = dict(_read_audio(run, wanted))
    named = dict.fromkeys(uri for row in wanted for uri in references_of(row) if uri)
    references = dict(zip(named, read_ahead(_read_reference, named), strict=True))
    sounds.unreadable_references = sum(data is None for data in references.values())

    def embedded(data: bytes | None) -> Source | None:
        mime = media_type(data) if data else None
        if data is None or mime is None:
            return None
        size = (len(data) + 2) // 3 * 4
        if sounds.embedded_bytes + size > max_bytes:
            return None
        sounds.embedded_bytes += size
        sounds.clips.append(Clip(f"clip-{len(sounds.clips)}", mime, base64.b64encode(data).decode()))
        return {"clip": sounds.clips[-1].key}

    for row in wanted:
        if (source := embedded(audio.get(row["row"]))) is not None:
            sounds.results[row["row"]] = source
            for name in references_of(row):
                if name and name not in sounds.references:
                    reference = embedded(references[name])
                    if reference is not None:
                        sounds.references[name] = reference


def _link(sounds: Sounds, run: Store, worst: Sequence[Row], page_folder: str) -> None:
    files = {*run.list("audio"), *run.list("rejected/audio")}
    for row in worst:
        folder = "rejected/audio" if is_rejected(row) else "audio"
        key = f"{folder}/{row['utterance_id']}.flac"
        if row["row"] not in sounds.results and key in files:
            address = link(page_folder, f"{run.uri.rstrip('/')}/{key}")
            if address is not None:
                sounds.results[row["row"]] = {"href": address}
        for name in references_of(row):
            if name and name not in sounds.references and is_local(name):
                address = link(page_folder, name)
                if address is not None and local_path(name).is_file():
                    sounds.references[name] = {"href": address}


def _read_audio(run: Store, rows: Sequence[Row]) -> Iterator[tuple[int, bytes]]:
    """The audio of these rows: results lie in the run's own log, what was rejected in one beside it."""
    yield from _read_log(ShardLog(run), [row for row in rows if not is_rejected(row)])
    yield from _read_log(ShardLog(run, prefix="rejected"), list(filter(is_rejected, rows)))


def _read_log(log: ShardLog, rows: Sequence[Row]) -> Iterator[tuple[int, bytes]]:
    """Reads only the shards that these rows lie in."""
    numbers, shards = {row["row"] for row in rows}, {row["shard"] for row in rows}
    if not rows:
        return

    def read(commit: Commit) -> list[Row]:
        table = log.read_table(commit, ["row", "audio"])
        return [row for row in table.to_pylist() if row["row"] in numbers and has_audio(row["audio"])]

    # a run of another make may not say where its rows lie
    chosen = [commit for commit in log.commits() if commit.shard in shards or None in shards]
    for found in read_ahead(read, chosen):
        yield from ((row["row"], row["audio"]["bytes"]) for row in found)


def _read_reference(uri: str) -> bytes | None:
    try:
        data = read_source(uri, _MAX_REFERENCE_BYTES, PUBLIC_ONLY)
    except RowError:
        return None
    return data if media_type(data) else None
