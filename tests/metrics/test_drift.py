from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio import Waveform
from pipeline.metrics.drift import lowest_similarity, windows

RATE = 16_000


def sound(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))


def clip(*parts: np.ndarray) -> Waveform:
    """The parts behind 0.4 s of silence, without which a steady sound is no speech."""
    return Waveform(np.concatenate([np.zeros(2 * RATE // 5), *parts]).astype(np.float32), RATE)


def starts(waveform: Waveform) -> list[float]:
    """Where the windows were cut, in seconds: no stretch of noise is there twice."""
    return [
        next(
            at
            for at in range(0, len(waveform.samples), 320)
            if np.array_equal(waveform.samples[at : at + len(cut.samples)], cut.samples)
        )
        / RATE
        for cut in windows(waveform)
    ]


def test_windows_by_hand() -> None:
    waveform = clip(sound(3.6))
    assert {len(cut.samples) / cut.sample_rate for cut in windows(waveform)} == {1.6}
    assert starts(waveform) == [0.0, 0.8, 1.6, 2.4]
    # 3.4 s: 1.8 s of starts are three steps of 0.6
    assert starts(clip(sound(3.0))) == [0.0, 0.6, 1.2, 1.8]
    assert starts(clip(sound(2.79))) == []


def test_windows_are_of_one_length() -> None:
    waveform = clip(sound(3.5123))
    assert {len(cut.samples) for cut in windows(waveform)} == {round(1.6 * RATE)}


def test_windows_of_pause_say_nothing() -> None:
    # speech 0.4 to 1.6 and 4.0 to 5.6: windows at 0, 0.8, ... 4.0; 0.8 has half, 1.6 and 2.4 none, 3.2 half
    assert starts(clip(sound(1.2), np.zeros(round(2.4 * RATE)), sound(1.6))) == [0.0, 0.8, 3.2, 4.0]


def test_the_lowest_by_hand() -> None:
    reference = np.array([1.0, 0.0])
    found = lowest_similarity(reference, [np.array([3.0, 4.0]), None, np.array([4.0, 3.0])])
    assert found == pytest.approx(0.6)
    assert lowest_similarity(reference, [None]) is None
    assert lowest_similarity(reference, []) is None
