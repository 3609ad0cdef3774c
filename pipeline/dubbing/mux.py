"""The picture of a video with another sound: its packets are copied as they are, the sound is encoded."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from pipeline.errors import ConfigError
from pipeline.programme.media import is_cover, opened
from pipeline.uris import shown

VIDEO_FORMATS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
_RATE = 48_000  # both codecs have it
_BIT_RATE = 192_000


def muxed_suffix(video_uri: str) -> str:
    """That of the video, or mkv, which holds any picture."""
    suffix = PurePosixPath(video_uri).suffix.lower().lstrip(".")
    return suffix if suffix in VIDEO_FORMATS else "mkv"


def muxed(video_uri: str, sound_uri: str, suffix: str) -> bytes:
    """The first picture of `video_uri` with the sound of `sound_uri`, AAC (in webm Opus) at 48 kHz, both from
    time 0. Raises ConfigError for a picture that the container cannot hold, and for damaged files.
    """
    made = io.BytesIO()
    with opened(video_uri) as video, opened(sound_uri) as sound:
        picture = next(stream for stream in video.streams.video if not is_cover(stream))
        begin = max(video.start_time or 0, 0) / av.time_base
        with av.open(made, mode="w", format=VIDEO_FORMATS[suffix]) as out:
            try:
                copied = out.add_stream_from_template(picture)
            except (ValueError, av.FFmpegError) as error:
                raise ConfigError(
                    f"--video: {shown(video_uri)}: its picture cannot be copied ({error})"
                ) from error
            layout = sound.streams.audio[0].codec_context.layout.name
            encoded = out.add_stream("libopus" if suffix == "webm" else "aac", rate=_RATE, layout=layout)
            assert isinstance(encoded, AudioStream), "it was asked for by an audio codec"
            encoded.bit_rate = _BIT_RATE
            packets, heard_s = _encoded(sound, encoded, layout), 0.0
            for packet in _in_order(video.demux(picture)):
                shift = round(begin / packet.time_base)
                packet.dts -= shift
                packet.pts = None if packet.pts is None else packet.pts - shift
                # side by side: a muxer holds what comes early until the other stream is as far
                while heard_s < float(packet.dts * packet.time_base) and (heard := next(packets, None)):
                    heard_s = float((heard.pts or 0) * heard.time_base)
                    out.mux(heard)
                packet.stream = copied
                out.mux(packet)
            for heard in packets:
                out.mux(heard)
    return made.getvalue()


def _in_order(packets: Iterable[Any]) -> Iterator[Any]:
    """Each with its place in the order of decoding, which Matroska does not tell of the first ones."""
    untold: list[Any] = []
    for packet in packets:
        if packet.size == 0:  # the end
            continue
        untold.append(packet)
        if packet.dts is not None:
            for back, before in enumerate(reversed(untold)):
                before.dts = packet.dts - back * (packet.duration or 1)
            yield from untold
            untold = []
    for packet in untold:
        packet.dts = packet.pts
        yield packet


def _encoded(sound: av.container.InputContainer, stream: AudioStream, layout: str) -> Iterator[Any]:
    resampler = AudioResampler(format=stream.codec_context.format, layout=layout, rate=_RATE)
    for frame in sound.decode(audio=0):
        for made in resampler.resample(frame):
            yield from stream.encode(made)
    for made in resampler.resample(None):
        yield from stream.encode(made)
    yield from stream.encode(None)
