"""A narration's sound, written in one walk: all its files are made at once, a block at a time."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pipeline.audio import decode_audio
from pipeline.narration.placing import Placed, chapter_bounds, chapter_marks, parted_at
from pipeline.narration.rounds import Narration
from pipeline.narration.takes import sound_key
from pipeline.programme.encode import ENCODINGS, ProgrammeWriter
from pipeline.programme.loudness import Level, Loudness, LoudnessMeter, level_for
from pipeline.programme.telling import Say, telling
from pipeline.programme.timeline import BLOCK, Samples, faded

_MAX_NAME = 60


def write_sound(
    narration: Narration, placed: Sequence[Placed], rate: int, scratch: Path, say: Say
) -> tuple[dict[str, Any], list[str]]:
    """The programme in each format, and the chapters where a format holds no marks that players show.

    The folder `scratch` holds the takes (`keep_sounds`) and, until they are stored, the files. Returns an
    account of the loudness, measured on what was written, and the keys of the files.
    """
    minutes = sum(each.length + each.pause for each in placed) / rate / 60

    def walk(doing: str) -> Iterator[Samples]:
        return telling(_programme(placed, rate, scratch), doing, minutes, rate, say)

    level = level_for(lambda: walk("loudness"), rate, narration.options.lufs)
    bounds = chapter_bounds(placed)
    meter = LoudnessMeter(rate)
    with _Files(narration, placed, rate, scratch / "made") as files:
        blocks = level.apply(walk("written"), rate)
        for index, block in parted_at(blocks, [end for _, end in bounds.values()]):
            meter.hear(block)
            files.write([*bounds][index], block)
    for key, path in files.made.items():
        narration.store.put_file(key, path)
    return _account(narration.options.lufs, level, meter.result()), list(files.made)


def file_stem(narration: Narration) -> str:
    return _plain(narration.script.title) or "narration"


class _Files:
    """The programme's files, and those of the chapter that is going by."""

    def __init__(self, narration: Narration, placed: Sequence[Placed], rate: int, folder: Path) -> None:
        script, self._formats = narration.script, narration.options.formats
        self._titles, self._rate, self._folder = script.chapters, rate, folder
        self._tags = {"title": script.title, "album": script.title, "genre": "Audiobook"}
        self._tags |= {"artist": script.author} if script.author else {}
        self._programmes, self._chapters = ExitStack(), ExitStack()
        self._chapter = 0
        self._of_chapter: list[ProgrammeWriter] = []
        self.made: dict[str, Path] = {}  # by key
        marks = chapter_marks(placed, script, rate)
        self._whole = [
            self._programmes.enter_context(
                ProgrammeWriter(
                    self._path(file_stem(narration), format), format, rate, tags=self._tags, marks=marks
                )
            )
            for format in self._formats
        ]

    def write(self, chapter: int, block: Samples) -> None:
        if chapter != self._chapter:
            self._chapters.close()
            self._chapter, self._of_chapter = chapter, self._begin(chapter)
        for writer in (*self._whole, *self._of_chapter):
            writer.write(block)

    def _begin(self, chapter: int) -> list[ProgrammeWriter]:
        title = self._titles[chapter - 1]
        stem = "-".join(filter(None, [f"{chapter:02d}", _plain(title)]))
        tags = {**self._tags, "title": title, "track": str(chapter)}
        return [
            self._chapters.enter_context(
                ProgrammeWriter(self._path(f"chapters/{stem}", format), format, self._rate, tags=tags)
            )
            for format in self._formats
            if ENCODINGS[format].has_chapter_files
        ]

    def _path(self, stem: str, format: str) -> Path:
        key = f"{stem}.{format}"
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self.made[key] = path
        return path

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._chapters.__exit__(kind, error, trace)
        finally:
            self._programmes.__exit__(kind, error, trace)


def _programme(placed: Sequence[Placed], rate: int, scratch: Path) -> Iterator[Samples]:
    """All of the sound before it is levelled, a segment or a block of silence at a time."""
    for each in placed:
        if each.heard.take is not None:
            sound = decode_audio((scratch / sound_key(each.heard.take)).read_bytes())
            yield faded(sound.samples[each.begin : each.end], rate)
        silent = each.pause + (each.length if each.heard.take is None else 0)
        for at in range(0, silent, BLOCK):
            yield np.zeros(min(BLOCK, silent - at), np.float32)


def _account(target_lufs: float, level: Level, measured: Loudness) -> dict[str, Any]:
    peak_db = measured.true_peak_dbtp
    return {
        "target_lufs": target_lufs,
        "integrated_lufs": round(measured.integrated_lufs, 2),
        "true_peak_dbtp": round(peak_db, 2) if math.isfinite(peak_db) else None,
        "gain_db": round(level.gain_db, 2),
        "limited": level.limit_dbtp is not None,
    }


def _plain(title: str) -> str:
    """What is left of a title in a file's name; titles are untrusted."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_NAME].strip("-")
