"""Every format read back by PyAV, and by libsndfile where it can: length, sound in its place, chapters, tags."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline.errors import StorageError
from pipeline.programme.encode import ENCODINGS, ChapterMark, ProgrammeWriter
from pipeline.programme.media import cut, look_at_media
from pipeline.programme.timeline import Samples

MARKS = [ChapterMark(0, 1.25, "One"), ChapterMark(1.25, 3.5, "Zwei: Größe"), ChapterMark(3.5, 6.001, "三")]


def clicks(rate: int, seconds: float = 6.0) -> Samples:
    """A burst at every whole second, each half a second long."""
    t = np.arange(int(rate * seconds)) / rate
    return (0.4 * np.sin(2 * np.pi * 440 * t) * (t % 1 < 0.5)).astype(np.float32)


def write(path: Path, format: str, samples: Samples, rate: int) -> Path:
    with ProgrammeWriter(
        path, format, rate, tags={"title": "Tïtle", "artist": "A. B."}, marks=MARKS
    ) as writer:
        for at in range(0, len(samples), 5000):
            writer.write(samples[at : at + 5000])
    return path


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("format", ENCODINGS)
def test_sound_lies_where_it_was(tmp_path: Path, format: str, rate: int) -> None:
    samples = clicks(rate)
    path = write(tmp_path / f"a.{format}", format, samples, rate)
    media = look_at_media(str(path))
    assert media.sample_rate == (48_000 if format == "opus" else rate)
    assert media.seconds == pytest.approx(6.0, abs=0.05)
    decoded = cut(str(path), 0.0, 5.9)
    loud = np.flatnonzero(np.abs(decoded.samples) > 0.1) / decoded.sample_rate
    begins = loud[np.diff(loud, prepend=-1.0) > 0.3]
    for second in range(6):
        assert np.abs(begins - second).min() < 0.02
    assert np.sqrt(np.mean(decoded.samples**2)) == pytest.approx(np.sqrt(np.mean(samples**2)), rel=0.01)


@pytest.mark.parametrize("format", [name for name, encoding in ENCODINGS.items() if encoding.marks != "none"])
def test_chapters_and_tags(tmp_path: Path, format: str) -> None:
    path = write(tmp_path / f"a.{format}", format, clicks(24_000), 24_000)
    with av.open(str(path)) as container:
        found = [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in container.chapters()]
        tags = container.metadata or container.streams[0].metadata
    assert [title for _, title in found] == [mark.title for mark in MARKS]
    assert [start for start, _ in found] == pytest.approx([mark.start_s for mark in MARKS], abs=0.001)
    assert {name.lower(): value for name, value in tags.items()}["title"] == "Tïtle"


@pytest.mark.parametrize("format", ["flac", "wav"])
def test_lossless_formats_are_exact(tmp_path: Path, format: str) -> None:
    samples = clicks(24_000)
    read, rate = soundfile.read(write(tmp_path / f"a.{format}", format, samples, 24_000), dtype="int16")
    assert rate == 24_000
    np.testing.assert_array_equal(read, np.round(samples * 32767))


def test_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    read, _ = soundfile.read(write(tmp_path / "a.wav", "wav", clicks(24_000) * 10, 24_000))
    assert 0.99 < read.max() <= 1.0


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"a\.mp3 cannot be encoded"),
        ProgrammeWriter(tmp_path / "no" / "a.mp3", "mp3", 24_000) as writer,
    ):
        writer.write(clicks(24_000))
