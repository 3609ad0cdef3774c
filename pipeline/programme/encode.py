"""Programmes as files to hand on, encoded a block at a time through PyAV (ffmpeg), with chapter marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec

from pipeline.audio import to_int16
from pipeline.errors import StorageError
from pipeline.programme.timeline import Samples

if TYPE_CHECKING:
    from av.container.core import Chapter as AvChapter  # only its stub has it

_MS = 1000


@dataclass(frozen=True, slots=True)
class Encoding:
    container: str  # ffmpeg's names
    codec: str
    bit_rate: int | None = None  # of mono speech; None: lossless
    options: Mapping[str, str] = field(default_factory=dict)
    gain: float = 1.0  # undoes an encoder's own
    # where chapters lie; as comments they are written here: ffmpeg 8 writes 22.5 s as 23.5 s
    marks: Literal["container", "comments", "none"] = "container"
    has_chapter_files: bool = True  # whether chapters are also asked for as files of their own


ENCODINGS = {
    "flac": Encoding("flac", "flac", marks="comments"),
    # above 4 GiB a WAV's sizes need 64 bits
    "wav": Encoding("wav", "pcm_s16le", options={"rf64": "auto"}, marks="none"),
    "opus": Encoding("ogg", "libopus", 48_000, marks="comments"),
    # LAME scales by 0.95, against clipping, which a limited programme does not need
    "mp3": Encoding("mp3", "libmp3lame", 96_000, gain=1 / 0.95),
    "m4b": Encoding("ipod", "aac", 80_000, {"movflags": "+faststart"}, has_chapter_files=False),
}


@dataclass(frozen=True, slots=True)
class ChapterMark:
    """Seconds from the beginning of the programme."""

    start_s: float
    end_s: float
    title: str


class ProgrammeWriter:
    """Writes mono blocks [N] in -1..1 into a new local file; what is beyond full scale is clipped.

    `format` is one of ENCODINGS; `tags` are ffmpeg's (title, artist, album, track); `marks` are chapters. Use
    it as a context manager: only then the file is whole. Raises StorageError for what cannot be written.
    """

    def __init__(
        self,
        path: Path,
        format: str,
        sample_rate: int,
        *,
        tags: Mapping[str, str] | None = None,
        marks: Sequence[ChapterMark] = (),
    ) -> None:
        encoding = ENCODINGS[format]
        self._path, self._rate, self._samples, self._gain = path, sample_rate, 0, encoding.gain
        try:
            self._container = av.open(
                str(path), "w", format=encoding.container, container_options=dict(encoding.options)
            )
            codec = Codec(encoding.codec, "w")
            stream = self._container.add_stream(encoding.codec, rate=_rate_for(codec, sample_rate))
        except av.FFmpegError as error:
            raise _unwritten(path, error) from error
        assert isinstance(stream, AudioStream)
        self._stream = stream
        self._stream.layout = "mono"
        if encoding.bit_rate is not None:
            self._stream.bit_rate = encoding.bit_rate
        self._container.metadata.update(tags or {})
        if encoding.marks == "comments":
            self._container.metadata.update(_comments(marks))
        elif encoding.marks == "container":
            self._container.set_chapters([_av_chapter(i, mark) for i, mark in enumerate(marks)])

    def write(self, block: Samples) -> None:
        samples = block if self._gain == 1 else block * np.float32(self._gain)
        frame = AudioFrame.from_ndarray(to_int16(samples)[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._samples
        self._samples += len(block)
        self._encode(frame)

    def _encode(self, frame: AudioFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise _unwritten(self._path, error) from error

    def __enter__(self) -> ProgrammeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._encode(None)
        self._container.close()


def _av_chapter(number: int, mark: ChapterMark) -> AvChapter:
    return {
        "id": number,
        "start": round(mark.start_s * _MS),
        "end": round(mark.end_s * _MS),
        "time_base": Fraction(1, _MS),
        "metadata": {"title": mark.title},
    }


def _comments(marks: Sequence[ChapterMark]) -> dict[str, str]:
    """https://wiki.xiph.org/Chapter_Extension"""
    made = {}
    for i, mark in enumerate(marks):
        seconds, ms = divmod(round(mark.start_s * _MS), _MS)
        made[f"CHAPTER{i:03d}"] = (
            f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"
        )
        made[f"CHAPTER{i:03d}NAME"] = mark.title
    return made


def _rate_for(codec: Codec, sample_rate: int) -> int:
    """The lowest rate of the codec's that loses nothing, else its highest; PyAV resamples."""
    rates = sorted(codec.audio_rates or [sample_rate])
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def _unwritten(path: Path, error: Exception) -> StorageError:
    return StorageError(f"{path.name} cannot be encoded ({error}); see that there is room for it")
