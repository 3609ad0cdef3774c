from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.audio import Waveform, decode_audio
from pipeline.metrics.silence import edge_silences_s, speech_frames, spoken_s

VOICES = sorted((Path(__file__).parents[2] / "manifests" / "voices").glob("*.flac"))
RATE = 16_000
FRAME = 320  # 20 ms


def noise(seconds: float, dbfs: float) -> np.ndarray:
    """White noise of that RMS level."""
    return 10 ** (dbfs / 20) * np.random.default_rng(0).standard_normal(round(seconds * RATE))


def clip(*parts: np.ndarray) -> Waveform:
    return Waveform(np.concatenate(parts).astype(np.float32), RATE)


def coloured(seconds: float, exponent: float, dbfs: float) -> np.ndarray:
    """Noise whose power falls with frequency to that exponent: 1 is pink, 2 brown."""
    spectrum = np.fft.rfft(noise(seconds, 0.0))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (exponent / 2)
    spectrum[0] = 0.0
    made = np.fft.irfft(spectrum)
    return made / made.std() * 10 ** (dbfs / 20)


def hum() -> np.ndarray:
    time = np.arange(2 * RATE) / RATE
    return sum(0.1 / k * np.sin(2 * np.pi * 50 * k * time) for k in range(1, 6))


def test_edges_by_hand() -> None:
    waveform = clip(np.zeros(RATE // 2), noise(1.0, -20), np.zeros(3 * RATE // 10))
    frames = speech_frames(waveform)
    assert frames.tolist() == [False] * 25 + [True] * 50 + [False] * 15
    assert edge_silences_s(frames, waveform.duration_s) == pytest.approx((0.5, 0.3))
    assert spoken_s(waveform) == pytest.approx(1.0)


@pytest.mark.parametrize(("under", "share"), [(30, 1.0), (40, 0.5)])
def test_the_gate_lies_35_db_under_the_loudest(under: float, share: float) -> None:
    share_heard = speech_frames(clip(noise(0.5, -10), noise(0.5, -10 - under))).mean()
    assert share_heard == pytest.approx(share, abs=0.021)  # the rumble filter blurs an edge by a frame


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0),
        np.zeros(RATE),
        np.full(RATE, 0.3),
        noise(0.09, -20),
        noise(2, -20),
        noise(2, -75),
        coloured(2, 1, -20),
        coloured(2, 2, -20),
        hum(),
        np.concatenate([np.zeros(RATE), [1.0], np.zeros(RATE)]),
        np.concatenate([noise(1, -65), noise(0.02, -6), noise(1, -65)]),
        np.concatenate([np.zeros(RATE), noise(0.03, -6), np.zeros(RATE)]),
    ],
    ids=[
        *("empty", "digital silence", "offset", "shorter than a syllable", "white noise", "faint noise"),
        *("pink noise", "brown noise", "hum", "one sample", "click in a noise floor", "click of 30 ms"),
    ],
)
def test_what_is_no_speech(samples: np.ndarray) -> None:
    assert not speech_frames(clip(samples)).any()


@pytest.mark.parametrize("file", VOICES, ids=lambda path: path.stem)
def test_voices_are_speech_and_so_they_are_in_noise(file: Path) -> None:
    waveform = decode_audio(file.read_bytes())
    assert speech_frames(waveform).mean() > 0.8
    level = 20 * np.log10(waveform.samples.std())
    for exponent in (0, 1):  # as loud as the voice itself less 5 dB
        mixed = (
            waveform.samples
            + coloured(waveform.duration_s + 0.01, exponent, level - 5)[: len(waveform.samples)]
        )
        assert speech_frames(Waveform(mixed.astype(np.float32), waveform.sample_rate)).any()


@pytest.mark.parametrize("file", [VOICES[0], VOICES[2], VOICES[5]], ids=lambda path: path.stem)
def test_silence_around_a_voice_is_counted_and_its_gain_is_not(file: Path) -> None:
    waveform = decode_audio(file.read_bytes())
    assert waveform.sample_rate == RATE
    frames = speech_frames(waveform)
    assert np.array_equal(speech_frames(Waveform(0.5 * waveform.samples, RATE)), frames)
    leading, trailing = edge_silences_s(frames, waveform.duration_s)
    more = clip(np.zeros(RATE), waveform.samples, np.zeros(2 * RATE))
    padded = edge_silences_s(speech_frames(more), more.duration_s)
    # the rumble filter sees the edge of the recording: a frame may change there
    assert padded == pytest.approx((leading + 1.0, trailing + 2.0), abs=0.021)


@given(hnp.arrays(np.bool_, st.integers(0, 50)))
def test_silence_at_the_ends_never_covers_speech(frames: np.ndarray) -> None:
    duration = len(frames) * 0.02
    leading, trailing = edge_silences_s(frames, duration)
    spoken = frames.nonzero()[0]
    span = (spoken[-1] - spoken[0] + 1) * 0.02 if len(spoken) else 0.0
    assert leading + span + trailing == pytest.approx(duration)
    assert (leading == duration) == (len(spoken) == 0)


def test_the_last_frame_may_be_short() -> None:
    waveform = clip(np.zeros(FRAME * 10), noise(0.21, -20)[: FRAME * 10 + 100])
    frames = speech_frames(waveform)
    assert len(frames) == 21
    assert edge_silences_s(frames, waveform.duration_s) == (0.2, 0.0)
