"""Loudness against pyloudnorm, peaks against soxr's resampler: neither is what the meter is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyloudnorm
import pytest
import soxr

from pipeline.programme.loudness import SILENT_LUFS, TRUE_PEAK_DBTP, level_for, measure
from pipeline.programme.timeline import Samples

SECONDS = 6


def speech_like(rate: int, level: float = 0.05, clicks: float = 0.0) -> Samples:
    """A tone in syllables with pauses between; `clicks` are peaks far above it."""
    t = np.arange(rate * SECONDS) / rate
    syllables = np.sin(2 * np.pi * 1.5 * t).clip(0) ** 2 * (np.sin(2 * np.pi * 0.2 * t) > -0.5)
    voice = np.sin(2 * np.pi * 180 * t) + 0.3 * np.sin(2 * np.pi * 2900 * t)
    samples = (level * syllables * voice).astype(np.float32)
    samples[:: rate // 4] += clicks
    return samples


def blocks(samples: Samples, size: int = 4097) -> Iterator[Samples]:
    return (samples[at : at + size] for at in range(0, len(samples), size))


def true_peak(samples: Samples, rate: int) -> float:
    return 20 * float(np.log10(np.abs(soxr.resample(samples, rate, 4 * rate)).max()))


@pytest.mark.parametrize("rate", [24_000, 44_100])
@pytest.mark.parametrize("level", [0.5, 0.004])
def test_measured_as_others_measure(rate: int, level: float) -> None:
    samples = speech_like(rate, level)
    found = measure(blocks(samples), rate)
    assert found.integrated_lufs == pytest.approx(
        pyloudnorm.Meter(rate).integrated_loudness(samples), abs=0.15
    )
    assert found.true_peak_dbtp == pytest.approx(true_peak(samples, rate), abs=0.1)


@pytest.mark.parametrize("target", [-23.0, -16.0])
@pytest.mark.parametrize("clicks", [0.0, 0.25])
def test_levelled_to_the_target(target: float, clicks: float) -> None:
    rate, samples = 24_000, speech_like(24_000, 0.03, clicks)
    level = level_for(lambda: blocks(samples), rate, target)
    made = np.concatenate(list(level.apply(blocks(samples), rate)))
    assert len(made) == len(samples)
    assert pyloudnorm.Meter(rate).integrated_loudness(made) == pytest.approx(target, abs=0.5)
    assert true_peak(made, rate) <= TRUE_PEAK_DBTP + 0.05
    assert (level.limit_dbtp is not None) == (clicks > 0)
    if clicks == 0:  # one gain, and nothing else
        np.testing.assert_allclose(made, samples * 10 ** (level.gain_db / 20), rtol=1e-5)
    else:  # nothing has moved
        lags = [
            np.dot(made[1000:-1000], samples[1000 + lag : len(samples) - 1000 + lag])
            for lag in range(-20, 21)
        ]
        assert int(np.argmax(lags)) == 20


@pytest.mark.parametrize("length", [0, 1, 999, 24_001])
def test_a_limited_programme_keeps_its_length(length: int) -> None:
    samples = speech_like(24_000, 0.5)[:length]
    level = level_for(lambda: blocks(speech_like(24_000, 0.02, 0.3)), 24_000, -16.0)
    assert level.limit_dbtp is not None
    assert sum(map(len, level.apply(blocks(samples, 100), 24_000))) == length


def test_silence_stays_silence() -> None:
    silent = np.zeros(24_000, np.float32)
    assert measure([silent], 24_000).integrated_lufs <= SILENT_LUFS
    assert measure([silent], 24_000).true_peak_dbtp == -np.inf
    assert level_for(lambda: [silent], 24_000, -19.0).gain_db == 0.0
    assert measure([], 24_000).integrated_lufs <= SILENT_LUFS
