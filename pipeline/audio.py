"""Audio as bytes and as arrays: decode, mix down, resample, encode. Pure; nothing here opens a path."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.errors import RowError

WHISPER_SAMPLE_RATE = 16_000
MAX_CHANNELS = 8
MAX_SAMPLE_RATE = 384_000  # Hz, of files that are read
FLOOR_DBFS = -120.0  # what digital silence is reported as
CLIP_LEVEL = 0.999  # a sample at or over it counts as clipped
_BLOCK_FRAMES = 2**16
_MAX_RATIO_PRODUCT = 1_000_000  # 11,025 to 24,000 Hz is 47,040


@dataclass(frozen=True, slots=True)
class Waveform:
    """Mono audio: float32 samples [N] in -1..1 and their rate in Hz."""

    samples: npt.NDArray[np.float32]
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


def decode_audio(data: bytes, *, max_duration_s: float | None = None) -> Waveform:
    """File bytes (whatever libsndfile reads: WAV, FLAC, OGG, MP3, ...) as mono.

    Read in blocks that are mixed down as they come: neither a small file that unpacks to hours nor a header
    that promises them fills the memory. What others made goes through `decoding.decode_untrusted`.
    Raises RowError: `audio_empty`, `audio_unreadable`, `audio_too_many_channels`, `audio_odd_sample_rate`,
    `audio_too_long`.
    """
    if not data:
        raise RowError("audio_empty", "the audio file has no bytes")
    blocks: list[npt.NDArray[np.float32]] = []
    frames = 0
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            sample_rate = int(file.samplerate)
            if file.channels > MAX_CHANNELS:
                raise RowError(
                    "audio_too_many_channels", f"{file.channels} channels, at most {MAX_CHANNELS} are read"
                )
            if not 0 < sample_rate <= MAX_SAMPLE_RATE:
                raise RowError("audio_odd_sample_rate", f"{sample_rate} Hz: resample it to a usual rate")
            most = math.inf if max_duration_s is None else int(max_duration_s * sample_rate)
            while frames <= most and len(block := file.read(_BLOCK_FRAMES, "float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float32))
                frames += len(block)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise RowError("audio_unreadable", f"not readable as audio ({_one_line(error)})") from error
    if frames > most:
        raise RowError("audio_too_long", f"longer than {max_duration_s:g} s")
    if frames == 0:
        raise RowError("audio_empty", "the audio holds no samples")
    return Waveform(np.concatenate(blocks), sample_rate)


def can_resample(before: int, after: int) -> bool:
    """Whether the filter between two rates fits: it grows with the product of their ratio's two terms."""
    common = math.gcd(before, after)
    return (before // common) * (after // common) <= _MAX_RATIO_PRODUCT


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """Windowed-sinc resampling by torchaudio (Kaiser window, its `kaiser_best` settings).

    Raises RowError `audio_odd_sample_rate` (44,101 Hz to 24 kHz would take gigabytes).
    """
    if waveform.sample_rate == sample_rate:
        return waveform
    if not can_resample(waveform.sample_rate, sample_rate):
        raise RowError("audio_odd_sample_rate", f"{waveform.sample_rate} Hz: resample it to a usual rate")
    import torch
    from torchaudio.functional import resample as sinc_resample

    samples = sinc_resample(
        torch.from_numpy(np.ascontiguousarray(waveform.samples)),
        waveform.sample_rate,
        sample_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return Waveform(samples.numpy(), sample_rate)


def encode_flac(waveform: Waveform) -> bytes:
    """16-bit FLAC; samples beyond full scale are clipped."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(waveform.samples), waveform.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def to_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)


def from_int16(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    return samples.astype(np.float32) / 32767.0


def rms_dbfs(samples: npt.NDArray[np.floating]) -> float:
    """RMS level about the mean (a constant offset is no sound), at least `FLOOR_DBFS`, which no samples have.

    0 is a full-scale square wave, so a full-scale sine lies at -3.01.
    """
    return _dbfs(math.sqrt(float(np.var(samples, dtype=np.float64))) if len(samples) else 0.0)


def peak_dbfs(samples: npt.NDArray[np.floating]) -> float:
    """Level of the largest sample, at least `FLOOR_DBFS`."""
    return _dbfs(float(np.abs(samples).max(initial=0.0)))


def clipped_fraction(samples: npt.NDArray[np.floating]) -> float:
    """Share of the samples at or over `CLIP_LEVEL`, 0 of none."""
    return float(np.mean(np.abs(samples) >= CLIP_LEVEL)) if len(samples) else 0.0


def _dbfs(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20.0 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DBFS


def _one_line(error: Any) -> str:
    # libsndfile's message begins with the buffer's address in memory
    said = re.sub(r"^Error opening <[^>]*>: ", "", str(error))
    return " ".join(said.split())[:200]
