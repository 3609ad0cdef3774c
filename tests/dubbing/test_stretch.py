"""Tones: their pitch within 1 %, their place, and exactly the length asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dubbing.stretch import exactly, stretched


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples)))
    return float(np.argmax(spectrum)) * rate / (8 * len(samples))


@pytest.mark.parametrize("rate", [24_000, 48_000])
@pytest.mark.parametrize("pace", [1.02, 1.15, 1.5, 2.0])
@pytest.mark.parametrize("hertz", [90, 220, 1000, 4000])
def test_pitch_is_kept_and_the_length_is_what_was_asked(rate, pace, hertz):
    sound = tone(hertz, 1.0, rate)
    length = round(len(sound) / pace)
    made = stretched(sound, rate, length)
    assert made.dtype == np.float32
    assert len(made) == length
    middle = made[length // 5 : -length // 5]
    assert pitch(middle, rate) == pytest.approx(hertz, rel=0.01)
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


@settings(max_examples=40)
@given(st.integers(0, 30_000), st.floats(1.0, 2.0))
def test_any_length_is_exact(count, pace):
    length = round(count / pace)
    made = stretched(np.ones(count, np.float32), 48_000, length)
    assert len(made) == length
    assert np.isfinite(made).all()


def test_the_same_sound_becomes_the_same_sound():
    noise = np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    np.testing.assert_array_equal(stretched(noise, 24_000, 21_000), stretched(noise, 24_000, 21_000))


def test_what_is_said_when_stays_in_proportion_to_its_very_end():
    """Beeps at a quarter, at half and in the last 50 ms, each found within 10 ms of its place."""
    rate, pace = 24_000, 1.15
    sound = np.zeros(2 * rate, np.float32)
    beep = tone(1000, 0.05, rate) * np.hanning(1200).astype(np.float32)
    places = [0.5, 1.0, 1.95]
    for at in places:
        sound[round(at * rate) : round(at * rate) + 1200] = beep
    made = stretched(sound, rate, round(len(sound) / pace))
    loudness = np.convolve(made**2, np.ones(240), "same")
    for at in places:
        centre = (at + 0.025) / pace
        begin = round((centre - 0.1) * rate)
        found = (begin + np.argmax(loudness[begin : round((centre + 0.1) * rate)])) / rate
        assert found == pytest.approx(centre, abs=0.01)
    assert np.abs(made[-600:]).max() > 0.1


def test_exactly():
    np.testing.assert_array_equal(exactly(np.ones(3, np.float32), 5), [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(exactly(np.ones(3, np.float32), 2), [1, 1])
