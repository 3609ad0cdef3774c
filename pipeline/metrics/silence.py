"""Where a clip is speech, by an energy gate relative to its own level. Pure.

What the gate cannot tell: a sound that comes and goes (music, a cough, a slammed door) counts as speech,
and so does noise less than `GATE_DB` under the loudest syllable. Speech that a steady noise drowns (under
about 0 dB) is taken for the noise. A burst at a word's end behind a closure (a final t) is too short to
count, which makes the trailing silence up to 0.2 s too long.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform

FRAME_S = 0.02
GATE_DB = 35.0  # under the loudest sound of the clip; weak fricatives lie up to 30 dB under a vowel
# Under this level there is nothing to hear; asked all the same, Whisper answers "thank you" and Resemblyzer
# NaN. 16-bit rounding noise lies at -98 dBFS, the quietest usable speech above -60.
SILENCE_DBFS = -70.0
_SHORTEST_FRAMES = 5  # 100 ms: what is shorter is a click, no syllable
# Measured: clean speech 25 to 50 dB, speech in noise of its own power 6 to 9; white noise 1, pink 2, brown 4
_STEADY_DB = 5.0
_RUMBLE_S = 0.01  # sound under about 50 Hz is no speech, and its level never holds still


def speech_frames(waveform: Waveform) -> npt.NDArray[np.bool_]:
    """Which frames [T] of `FRAME_S` are speech; the last one may be shorter.

    A clip's loudest level is the highest that `_SHORTEST_FRAMES` frames in a row reach, so no click sets it.
    None is speech where that lies under `SILENCE_DBFS`, or less than `_STEADY_DB` over the quietest tenth of
    the frames (noise, hum, a tone).
    """
    levels = _frame_levels(waveform)
    nothing = np.zeros(len(levels), np.bool_)
    if len(levels) < _SHORTEST_FRAMES:
        return nothing
    loudest = np.lib.stride_tricks.sliding_window_view(levels, _SHORTEST_FRAMES).min(axis=1).max()
    if loudest < SILENCE_DBFS or loudest - np.quantile(levels, 0.1, method="lower") < _STEADY_DB:
        return nothing
    return _long_runs(levels >= max(SILENCE_DBFS, loudest - GATE_DB))


def edge_silences_s(frames: npt.NDArray[np.bool_], duration_s: float) -> tuple[float, float]:
    """Seconds before the first and after the last frame of speech; without any, all of it lies before."""
    spoken = np.flatnonzero(frames)
    if len(spoken) == 0:
        return duration_s, 0.0
    return float(spoken[0]) * FRAME_S, max(0.0, duration_s - float(spoken[-1] + 1) * FRAME_S)


def spoken_s(waveform: Waveform) -> float:
    """Seconds from the first to the last speech, pauses included; 0 without any."""
    leading, trailing = edge_silences_s(speech_frames(waveform), waveform.duration_s)
    return waveform.duration_s - leading - trailing


def frame_samples(sample_rate: int) -> int:
    """Samples of a whole frame."""
    return max(1, round(FRAME_S * sample_rate))


def _frame_levels(waveform: Waveform) -> npt.NDArray[np.float64]:
    """RMS level of each frame in dBFS, -inf for digital silence, without offset and rumble."""
    samples = waveform.samples.astype(np.float64)
    if len(samples) == 0:
        return np.zeros(0)
    samples -= _moving_average(samples, max(1, round(_RUMBLE_S * waveform.sample_rate)))
    starts = np.arange(0, len(samples), frame_samples(waveform.sample_rate))
    power = np.add.reduceat(np.square(samples), starts) / np.diff(np.append(starts, len(samples)))
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(power))


def _moving_average(samples: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Over `width` samples around each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(samples)])
    first = np.maximum(np.arange(len(samples)) - width // 2, 0)
    end = np.minimum(first + width, len(samples))
    return np.asarray((total[end] - total[first]) / (end - first))


def _long_runs(frames: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The frames without runs shorter than `_SHORTEST_FRAMES`."""
    steps = np.diff(np.concatenate([[0], frames.astype(np.int8), [0]]))
    kept = np.zeros(len(frames), np.bool_)
    for first, end in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        kept[first:end] = end - first >= _SHORTEST_FRAMES
    return kept
