"""Pictures that PyAV makes, with frames that are decoded in another order than shown; read back by PyAV."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline.dubbing.mux import muxed, muxed_suffix
from pipeline.errors import ConfigError

FRAMES = 50


def film(path: Path, codec: str, format: str) -> str:
    with av.open(str(path), "w", format=format) as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if codec == "libx264":
            video.codec_context.max_b_frames, video.codec_context.gop_size = 2, 12
        noise = np.random.default_rng(0)
        for _ in range(FRAMES):
            picture = noise.integers(0, 255, (48, 64, 3), np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
    return str(path)


def pictures(file: object) -> list[tuple[float, int]]:
    """(seconds from the file's beginning, luma sum) of each frame, as shown."""
    with av.open(file) as container:
        begin = max(container.start_time or 0, 0) / av.time_base
        frames = [*container.decode(video=0)]
    return [
        (round(frame.time - begin, 3), int(frame.to_ndarray(format="gray").astype(np.int64).sum()))
        for frame in frames
    ]


@pytest.fixture
def track(tmp_path) -> str:
    """Silence for a second, then a tone for one."""
    at = np.arange(2 * 44_100) / 44_100
    samples = 0.25 * np.sin(2 * np.pi * 300 * at) * (at >= 1)
    soundfile.write(tmp_path / "track.flac", samples, 44_100)
    return str(tmp_path / "track.flac")


@pytest.mark.parametrize(
    ("name", "codec", "format", "suffix", "sound"),
    [
        ("a.mp4", "libx264", "mp4", "mp4", "aac"),
        ("a.mkv", "libx264", "matroska", "mkv", "aac"),  # tells no decoding times at its beginning
        ("a.ts", "libx264", "mpegts", "mkv", "aac"),  # begins at 1.4 s
        ("a.avi", "mpeg4", "avi", "mkv", "aac"),
        ("a.webm", "libvpx", "webm", "webm", "opus"),
    ],
)
def test_every_picture_at_its_time_with_the_new_sound(tmp_path, track, name, codec, format, suffix, sound):
    source = film(tmp_path / name, codec, format)
    assert muxed_suffix(source) == suffix
    made = muxed(source, track, suffix)
    shown = pictures(io.BytesIO(made))
    assert len(shown) == FRAMES
    assert shown == pictures(source)
    with av.open(io.BytesIO(made)) as container:
        assert container.streams.audio[0].codec_context.name == sound
        frames = [*container.decode(audio=0)]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    begins = frames[0].time + np.argmax(np.abs(samples) > 0.05) / 48_000
    assert begins == pytest.approx(1.0, abs=0.01)
    assert len(samples) == pytest.approx(2 * 48_000, abs=2048)


def test_a_picture_that_webm_cannot_hold(tmp_path, track):
    source = film(tmp_path / "a.mp4", "mpeg4", "mp4")
    with pytest.raises(ConfigError, match=r"a\.mp4"):
        muxed(source, track, "webm")
