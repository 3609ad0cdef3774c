"""Reference or ground-truth audio, as bytes -> its measurements and what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.audio import can_resample, clipped_fraction, rms_dbfs
from pipeline.decoding import decode_untrusted
from pipeline.manifest import Fault

_FRAME_S = 0.025
USUAL_RATES = (16_000, 24_000)  # what references are resampled to


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """What a reference voice must hold to. Levels are RMS in dBFS, where 0 is a full-scale square wave.

    Quiet speech lies above -45 dBFS and the noise of a quiet room below -60: a clip is silent if it lies
    below `min_rms_dbfs` as a whole, or if none of its 25 ms frames reaches `min_frame_dbfs`.

    Speech that only touches full scale does so in a handful of samples; driven 6 dB over it, some per
    cent of them stick there. 1 % keeps normalised recordings and refuses distorted ones.
    """

    min_duration_s: float = 1.0
    max_duration_s: float = 30.0
    min_rms_dbfs: float = -60.0
    min_frame_dbfs: float = -50.0
    max_clipped_fraction: float = 0.01


# A ground truth is compared with, not spoken after: it must be readable, and may be quiet, clipped or short.
GROUND_TRUTH_LIMITS = PromptLimits(
    min_duration_s=0.0,
    max_duration_s=600.0,  # as long as the longest row
    min_rms_dbfs=-math.inf,
    min_frame_dbfs=-math.inf,
    max_clipped_fraction=1.0,
)


@dataclass(frozen=True, slots=True)
class CheckedPrompt:
    """Measured on the mono mix, about its mean (a constant offset is no sound)."""

    duration_s: float
    sample_rate: int  # Hz, of the file
    rms_dbfs: float
    clipped_fraction: float
    faults: tuple[Fault, ...]


def check_prompt(data: bytes, limits: PromptLimits | None = None) -> CheckedPrompt:
    """Measure a reference and list its faults: `audio_nan`, `audio_silent`, `audio_clipped`,
    `audio_too_short`, `audio_odd_sample_rate`.

    Raises RowError where there is nothing to measure: `audio_empty`, `audio_unreadable`,
    `audio_too_many_channels`, `audio_odd_sample_rate` above any usual one, `audio_decoder_died`, and
    `audio_too_long`, past which the file is not read.
    """
    limits = limits or PromptLimits()
    waveform = decode_untrusted(data, limits.max_duration_s)
    # a NaN or Inf in any channel is one in the mix
    finite = np.isfinite(waveform.samples)
    samples = np.where(finite, waveform.samples, 0.0).astype(np.float64)
    clipped = clipped_fraction(samples)
    centred = np.where(finite, samples - samples.sum() / max(1, finite.sum()), 0.0)
    rms = rms_dbfs(centred)
    loudest = max(rms_dbfs(frame) for frame in _frames(centred, waveform.sample_rate))

    faults = []
    if not finite.all():
        faults.append(
            Fault("audio_nan", f"{np.sum(~finite)} samples are NaN or infinite; write the file again")
        )
    if rms < limits.min_rms_dbfs or loudest < limits.min_frame_dbfs:
        message = f"no speech: {rms:.0f} dBFS, {loudest:.0f} at its loudest; record it louder"
        faults.append(Fault("audio_silent", message))
    if clipped > limits.max_clipped_fraction:
        message = f"{clipped:.1%} of the samples are clipped; take a recording that is not"
        faults.append(Fault("audio_clipped", message))
    if waveform.duration_s < limits.min_duration_s:
        message = f"{waveform.duration_s:.2f} s, at least {limits.min_duration_s:g}; take a longer clip"
        faults.append(Fault("audio_too_short", message))
    if not all(can_resample(waveform.sample_rate, rate) for rate in USUAL_RATES):
        faults.append(
            Fault("audio_odd_sample_rate", f"{waveform.sample_rate} Hz; resample it to a usual rate")
        )
    return CheckedPrompt(waveform.duration_s, waveform.sample_rate, rms, clipped, tuple(faults))


def _frames(samples: npt.NDArray[np.float64], sample_rate: int) -> list[npt.NDArray[np.float64]]:
    length = max(1, round(_FRAME_S * sample_rate))
    whole = len(samples) // length * length
    return np.split(samples[:whole], whole // length) if whole else [samples]
