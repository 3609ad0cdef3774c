"""The sound of audio and video files, by PyAV: how long it is, parts of it, all of it as blocks.

Time 0 is where the file begins to play: sound that begins later is led in by silence. No other file than
the one named is ever opened (playlists name some), and only the usual containers are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.audio import MAX_SAMPLE_RATE, Waveform
from pipeline.errors import ConfigError, RowError
from pipeline.programme.timeline import BLOCK, sample_at
from pipeline.storage import ObjectMissing, open_uri
from pipeline.uris import shown

Channels = npt.NDArray[np.float32]  # [N, channels]

MAX_HOURS = 24
_DEMUXERS = (
    *("aac", "aiff", "asf", "avi", "caf", "flac", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"),
    *("mp3", "mpeg", "mpegts", "mxf", "ogg", "w64", "wav"),
)
_OPTIONS = {"format_whitelist": ",".join(_DEMUXERS), "protocol_whitelist": "none"}


@dataclass(frozen=True, slots=True)
class Media:
    """`samples` to the end of its sound, from time 0; `sample_rate` is None where it has no sound."""

    seconds: float
    sample_rate: int | None
    samples: int
    has_video: bool


def look_at_media(uri: str) -> Media:
    """Decodes all of the sound: a header tells its length only nearly.

    Raises ConfigError for what is not there, not audio or video, or longer than MAX_HOURS; StorageError.
    """
    with opened(uri) as container:
        has_video = not all(map(is_cover, container.streams.video))
        if not container.streams.audio:
            seconds = (container.duration or 0) / av.time_base
            if not has_video or not 0 < seconds <= MAX_HOURS * 3600:
                raise ConfigError(
                    f"{shown(uri)}: holds no sound, and no video of a known length; name another"
                )
            return Media(seconds, None, 0, has_video)
        rate, samples = _rate_of(container, uri), 0
        for position, frame in _frames(container):
            samples = position + frame.samples
            _refuse_hours(samples, rate, uri)
    return Media(samples / rate, rate, samples, has_video)


def cut(uri: str, start_s: float, end_s: float) -> Waveform:
    """That part of the sound, mixed down to mono, at the file's own rate. Raises as `look_at_media` does, and
    ConfigError for a part that lies beyond the end.
    """
    with opened(uri) as container:
        rate = _rate_of(container, uri)
        begin, end = sample_at(start_s, rate), sample_at(end_s, rate)
        _refuse_hours(end, rate, uri)
        parts, at = [], 0
        for block in _blocks(container, rate, None):
            parts.append(block[max(begin - at, 0) : max(end - at, 0)].mean(axis=1, dtype=np.float32))
            at += len(block)
            if at >= end:
                break
    if at < end:
        raise ConfigError(f"{shown(uri)}: {start_s:g} to {end_s:g} s is beyond its end at {at / rate:.3f} s")
    return Waveform(np.concatenate(parts), rate)


def sound_blocks(uri: str, sample_rate: int, length: int) -> Iterator[Channels]:
    """All of the sound as stereo [N, 2] at a rate, cut or filled with silence to `length` samples.

    Mono is on both channels as it is; ffmpeg would lower it by 3 dB.
    """
    with opened(uri) as container:
        _rate_of(container, uri)
        is_mono = container.streams.audio[0].codec_context.channels == 1
        held, left = np.zeros((0, 2), np.float32), length
        for block in _blocks(container, sample_rate, "mono" if is_mono else "stereo"):
            stereo = np.broadcast_to(block, (len(block), 2))
            held = np.concatenate([held, stereo[: left - len(held)]])
            while len(held) >= BLOCK:
                yield held[:BLOCK]
                held, left = held[BLOCK:], left - BLOCK
            if len(held) == left:
                break
    while left:
        count = min(BLOCK, left)
        yield np.pad(held, ((0, count - len(held)), (0, 0)))
        held, left = held[:0], left - count


def is_cover(stream: VideoStream) -> bool:
    """Whether it is a still picture beside the sound, no film."""
    return bool(stream.disposition & stream.disposition.attached_pic)


@contextmanager
def opened(uri: str) -> Iterator[InputContainer]:
    """Raises ConfigError for what is not there or cannot be decoded, also while it is read; StorageError."""
    try:
        file = open_uri(uri)
    except ObjectMissing as error:
        raise ConfigError(str(error)) from error
    except RowError as error:
        raise ConfigError(error.message) from error
    with file:
        try:
            with av.open(file, mode="r", container_options=_OPTIONS) as container:
                yield container
        except (av.FFmpegError, ValueError) as error:
            said = " ".join(str(getattr(error, "strerror", error)).split())[:200]
            raise ConfigError(f"{shown(uri)}: not readable as audio or video ({said}); convert it") from error


def _blocks(container: InputContainer, rate: int, layout: str | None) -> Iterator[Channels]:
    """From time 0 on. Without a layout the channels are those of the file."""
    wanted = layout or container.streams.audio[0].codec_context.layout.name
    resampler = AudioResampler(format="fltp", layout=wanted, rate=rate)
    own_rate, first = container.streams.audio[0].codec_context.sample_rate, True
    skip = 0
    for position, frame in _frames(container):
        if first and position > 0:
            lead = sample_at(position / own_rate, rate)
            yield from (
                np.zeros((min(BLOCK, lead - at), len(resampler.layout.channels)), np.float32)
                for at in range(0, lead, BLOCK)
            )
        if first and position < 0:
            skip = sample_at(-position / own_rate, rate)
        first = False
        frame.pts = None  # the resampler would take small jumps for silence
        for made in resampler.resample(frame):
            block = _samples(made)
            yield block[skip:]
            skip = max(skip - len(block), 0)
    for made in resampler.resample(None):
        yield _samples(made)[skip:]


def _samples(frame: AudioFrame) -> Channels:
    return np.asarray(frame.to_ndarray().T, np.float32)


def _frames(container: InputContainer) -> Iterator[tuple[int, AudioFrame]]:
    """The frames of the first sound stream, and on which sample from time 0 each begins: by the time of the
    first, then counted, since later times are rounded to the container's ticks."""
    begin_s = max((container.start_time or 0) / av.time_base, 0.0)
    position: int | None = None
    for frame in container.decode(audio=0):
        if position is None:
            position = sample_at((frame.time or 0.0) - begin_s, frame.sample_rate)
        yield position, frame
        position += frame.samples


def _rate_of(container: InputContainer, uri: str) -> int:
    if not container.streams.audio:
        raise ConfigError(f"{shown(uri)}: holds no sound; name a file with some")
    rate = container.streams.audio[0].codec_context.sample_rate
    if not 0 < rate <= MAX_SAMPLE_RATE:
        raise ConfigError(f"{shown(uri)}: a sample rate of {rate} Hz; resample it")
    return rate


def _refuse_hours(samples: int, rate: int, uri: str) -> None:
    if samples > MAX_HOURS * 3600 * rate:
        raise ConfigError(f"{shown(uri)}: longer than {MAX_HOURS} hours; split it")
