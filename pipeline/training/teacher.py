"""The teacher: Debian's `flite` with three recorded people, spread into many synthetic speakers.

A speaker is a recorded voice with a formant ratio a, a pitch, a pitch range and a pace, all drawn apart.
No vocoder is needed for that, because flite takes pitch and pace: it is asked for pitch f0 / a and
durations times a, and its waveform is then played a times faster (read at a * 16 kHz). That multiplies
every frequency by a and divides every duration by a: the envelope ends up at a, the pitch at f0 and the
pace at 1, which is what an analysis-synthesis vocoder would do to the envelope, without its noise.
The pitch of `rms` comes from a model of its own that takes no setting, so there it follows a.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform, decode_audio, resample
from pipeline.errors import ConfigError

SAMPLE_RATE = 24_000
# measured on one sentence; flite's own default means lie there
NATURAL_F0 = {"slt": 170.0, "rms": 101.0, "awb": 129.0}
FIXED_F0 = frozenset({"rms"})
# Whole percent: 160 Hz steps keep the resampling filters short. The bounds are where pocketsphinx still
# follows (it was trained on people, not on warps): WER 0.71 for slt at 116, 0.49 for rms at 86, 0.45 for
# awb at 86, against 0.12, 0.01 and 0.05 unwarped.
FORMANT_PERCENT = {"slt": (78, 106), "rms": (93, 124), "awb": (92, 118)}
F0_RATIO = (0.75, 1.35)
F0_RANGE = (0.06, 0.16)  # standard deviation over mean
RATE = (0.88, 1.15)  # durations are divided by it
_TEACHER_RATE = 16_000
_EDGE_S = 0.1  # silence kept before the first phone and after the last
_LEVEL = 0.12  # RMS of the whole clip; one loudness for all, or the codec's codes would spell volume
_PEAK = 0.9
_SILENT_PHONES = frozenset({"pau", "ssil", "brth"})


@dataclass(frozen=True, slots=True)
class Speaker:
    """A synthetic voice. Pitch in Hz as heard, after the warp; `rate` above 1 is faster than the teacher."""

    speaker_id: str
    base_voice: str
    formant_ratio: float
    f0_mean_hz: float
    f0_stddev_hz: float
    rate: float


@dataclass(frozen=True, slots=True)
class SpokenPhone:
    phone: str
    end_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A clip at 24 kHz and its phones in order, with their end times."""

    waveform: Waveform
    phones: list[SpokenPhone]


def draw_speaker(index: int, seed: int) -> Speaker:
    """Speaker `index` of the family that `seed` names. The three voices take turns."""
    rng = np.random.default_rng([seed, index])
    base = sorted(NATURAL_F0)[index % len(NATURAL_F0)]
    percent = round(float(np.exp(rng.uniform(*np.log(FORMANT_PERCENT[base])))))
    f0_ratio = float(np.exp(rng.uniform(*np.log(F0_RATIO))))
    spread, rate = float(rng.uniform(*F0_RANGE)), float(np.exp(rng.uniform(*np.log(RATE))))
    f0 = NATURAL_F0[base] * (percent / 100 if base in FIXED_F0 else f0_ratio)
    return Speaker(
        f"s{seed}-{index:04d}", base, percent / 100, round(f0, 1), round(f0 * spread, 1), round(rate, 3)
    )


def speak(speaker: Speaker, text: str) -> Speech:
    """`text` in that voice. Raises ConfigError where flite is missing or fails."""
    heard, phones = _flite(speaker, text)
    ratio = speaker.formant_ratio
    samples, start_s = _trimmed(heard.samples, phones)
    played = Waveform(samples, round(_TEACHER_RATE * ratio))
    waveform = resample(played, SAMPLE_RATE)
    length_s = waveform.duration_s
    moved = [
        SpokenPhone(p.phone, round(min((p.end_s - start_s) / ratio, length_s), 4))
        for p in phones
        if p.end_s > start_s
    ]
    return Speech(Waveform(_levelled(waveform.samples), SAMPLE_RATE), moved)


def _flite(speaker: Speaker, text: str) -> tuple[Waveform, list[SpokenPhone]]:
    ratio = speaker.formant_ratio
    settings = {
        "int_f0_target_mean": speaker.f0_mean_hz / ratio,
        "int_f0_target_stddev": speaker.f0_stddev_hz / ratio,
        "duration_stretch": ratio / speaker.rate,
    }
    flags = [part for key, value in settings.items() for part in ("--setf", f"{key}={value:.4f}")]
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", speaker.base_voice, *flags, "-psdur", "-t", text, "-o", file.name]
        try:
            # no shell: the text is one argument
            done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"flite: {error}: apt-get install flite") from error
        heard = decode_audio(file.read())
    pairs = [pair.rpartition(":") for pair in done.stdout.split()]
    return heard, [SpokenPhone(phone, float(end)) for phone, _, end in pairs]


def _trimmed(
    samples: npt.NDArray[np.float32], phones: list[SpokenPhone]
) -> tuple[npt.NDArray[np.float32], float]:
    """The clip less all but `_EDGE_S` of the pauses around it, and where it now begins, in seconds."""
    voiced = [i for i, p in enumerate(phones) if p.phone not in _SILENT_PHONES]
    if not voiced:
        return samples, 0.0
    begin = phones[voiced[0] - 1].end_s if voiced[0] else 0.0
    first = max(0, round((begin - _EDGE_S) * _TEACHER_RATE))
    last = round((phones[voiced[-1]].end_s + _EDGE_S) * _TEACHER_RATE)
    return samples[first:last], first / _TEACHER_RATE


def _levelled(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    rms, peak = float(np.sqrt(np.mean(np.square(samples)))), float(np.abs(samples).max())
    gain = min(_LEVEL / max(rms, 1e-6), _PEAK / max(peak, 1e-6))
    return np.asarray(samples * gain, dtype=np.float32)
