"""Files that PyAV itself makes, and ffmpeg's own count of their samples where it is installed."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline.errors import ConfigError
from pipeline.programme.media import BLOCK, cut, look_at_media, sound_blocks

RATE = 48_000


def wav(path: Path, seconds: float = 3.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Each second a tone of its own: 300, 600, 900 Hz."""
    at = np.arange(int(seconds * rate)) / rate
    sound = 0.25 * np.sin(2 * np.pi * 300 * (np.floor(at) + 1) * at)
    soundfile.write(path, np.stack([sound] * channels, axis=1), rate, subtype="PCM_16")
    return sound


def encode(
    path: Path, codec: str, format: str, *, seconds: float = 3.0, picture: bool = False, late_s: float = 0.0
):
    """A file of PyAV's; the sound begins `late_s` after the picture."""
    wav(path.with_suffix(".src.wav"), seconds)
    with av.open(str(path), "w", format=format) as out:
        if picture:
            video = out.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream(codec, rate=RATE, layout="mono")
        if picture:
            for number in range(int(seconds * 25)):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        with av.open(str(path.with_suffix(".src.wav"))) as source:
            for frame in source.decode(audio=0):
                frame.pts += round(late_s * RATE)
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return str(path)


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * len(samples)))
    return float(np.argmax(spectrum)) * rate / (4 * len(samples))


@pytest.mark.parametrize(
    ("name", "codec", "format"),
    [("a.flac", "flac", "flac"), ("a.wav", "pcm_s16le", "wav"), ("a.mka", "flac", "matroska")],
)
def test_lossless_files_have_the_samples_that_were_written(tmp_path, name, codec, format):
    media = look_at_media(encode(tmp_path / name, codec, format))
    assert (media.sample_rate, media.samples, media.seconds, media.has_video) == (RATE, 3 * RATE, 3.0, False)


@pytest.mark.parametrize(
    ("name", "codec", "format"),
    [
        ("a.mp4", "aac", "mp4"),
        ("a.mkv", "aac", "matroska"),
        ("a.ts", "aac", "mpegts"),
        ("a.ogg", "libopus", "ogg"),
        ("a.mp3", "libmp3lame", "mp3"),
    ],
)
def test_as_many_samples_as_ffmpeg_decodes(tmp_path, name, codec, format):
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        pytest.skip("no ffmpeg")
    path = encode(tmp_path / name, codec, format, picture=format in ("mp4", "matroska", "mpegts"))
    raw = subprocess.run(
        [ffmpeg, "-v", "error", "-i", path, "-f", "s16le", "-"], capture_output=True, check=True
    )
    media = look_at_media(path)
    # matroska tells of the encoder's 1024 samples of lead-in by a time before 0, where no player plays
    assert media.samples == len(raw.stdout) // 2 - (1024 if format == "matroska" else 0)
    assert sum(len(block) for block in sound_blocks(path, RATE, media.samples)) == media.samples
    assert media.has_video == (format != "ogg" and format != "mp3")


def test_sound_that_begins_later_is_led_in_by_silence(tmp_path):
    path = encode(tmp_path / "a.mkv", "flac", "matroska", picture=True, late_s=0.5)
    media = look_at_media(path)
    assert media.samples == 3.5 * RATE
    whole = np.concatenate([*sound_blocks(path, RATE, media.samples)])
    assert not whole[: RATE // 2].any()
    assert pitch(whole[RATE // 2 : RATE, 0], RATE) == pytest.approx(300, rel=0.01)
    assert pitch(cut(path, 0.6, 1.4).samples, RATE) == pytest.approx(300, rel=0.01)


def test_parts_are_exact(tmp_path):
    sound = wav(tmp_path / "a.wav", channels=2)
    part = cut(str(tmp_path / "a.wav"), 1.0001, 1.75)
    assert part.sample_rate == RATE
    np.testing.assert_allclose(part.samples, sound[48_005:84_000], atol=1e-4)
    with pytest.raises(ConfigError, match=r"2\.5 to 3\.5 s is beyond its end at 3\.000 s"):
        cut(str(tmp_path / "a.wav"), 2.5, 3.5)


@pytest.mark.parametrize(("rate", "seconds"), [(48_000, 2.0), (44_100, 4.0), (24_000, 3.0)])
def test_all_of_it_at_any_rate_and_length(tmp_path, rate, seconds):
    wav(tmp_path / "a.wav")
    length = int(rate * seconds) + 7
    blocks = [*sound_blocks(str(tmp_path / "a.wav"), rate, length)]
    assert [len(block) for block in blocks[:-1]] == [BLOCK] * (len(blocks) - 1)
    whole = np.concatenate(blocks)
    assert whole.shape == (length, 2)
    assert pitch(whole[int(rate * 1.1) : int(rate * 1.9), 1], rate) == pytest.approx(600, rel=0.01)
    if seconds > 3:
        assert not whole[int(rate * 3.1) :].any()


def test_mono_is_on_both_channels_as_it_is(tmp_path):
    sound = wav(tmp_path / "a.wav")
    whole = np.concatenate([*sound_blocks(str(tmp_path / "a.wav"), RATE, len(sound))])
    np.testing.assert_allclose(whole, np.stack([sound, sound], axis=1), atol=1e-4)


def test_a_picture_without_sound_has_the_length_of_the_picture(tmp_path):
    with av.open(str(tmp_path / "mute.mp4"), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            out.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(video.encode(None))
    media = look_at_media(str(tmp_path / "mute.mp4"))
    assert (media.sample_rate, media.has_video) == (None, True)
    assert media.seconds == pytest.approx(2.0, abs=0.05)


def test_playlists_open_nothing(tmp_path):
    """Neither the file nor the address that they name."""
    wav(tmp_path / "secret.wav")
    playlist = f"#EXTM3U\n#EXTINF:5,\nfile://{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"
    for name, text in (
        ("a.m3u8", playlist),
        ("a.mp4", playlist),
        ("a.ffconcat", f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="not readable as audio or video"):
            look_at_media(str(tmp_path / name))


def test_what_is_not_there_or_no_media(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(ConfigError, match=r"a\.wav: not readable as audio or video"):
        look_at_media(str(tmp_path / "a.wav"))
    with pytest.raises(ConfigError, match=r"nowhere\.wav: FileNotFoundError"):
        look_at_media(str(tmp_path / "nowhere.wav"))
    with pytest.raises(ConfigError, match="only a local path"):
        look_at_media("ftp://host/a.wav")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(4800), RATE, format="FLAC")
    (tmp_path / "cut.flac").write_bytes(buffer.getvalue()[:60])
    with pytest.raises(ConfigError, match=r"cut\.flac"):
        look_at_media(str(tmp_path / "cut.flac"))
