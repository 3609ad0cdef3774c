"""Reference checks. Levels and fractions are worked out by hand beside each case."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import FLOOR_DBFS
from pipeline.errors import RowError
from pipeline.stages.check_prompt import CheckedPrompt, PromptLimits, check_prompt

RATE = 16_000


def wav(samples: npt.NDArray[np.float64], rate: int = RATE, subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def tone(amplitude: float, seconds: float = 2.0, frequency: float = 100.0) -> npt.NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def codes(checked: CheckedPrompt) -> list[str]:
    return [fault.code for fault in checked.faults]


def test_measurements_of_a_sine() -> None:
    checked = check_prompt(wav(tone(0.5)))
    # RMS of a sine is amplitude / sqrt 2: 20 log10(0.5) - 10 log10(2) = -6.0206 - 3.0103
    assert checked.rms_dbfs == pytest.approx(-9.0309, abs=1e-3)
    assert (checked.duration_s, checked.sample_rate, checked.clipped_fraction) == (2.0, RATE, 0.0)
    assert checked.faults == ()


def test_clipped_fraction_of_an_overdriven_sine() -> None:
    # |a sin x| >= c for the share 1 - (2 / pi) asin(c / a) of its period; a = 2, c = 0.999: 0.66704.
    # 97 Hz and 16000 samples a second share no factor, so the samples cover the period evenly
    data = wav(np.clip(tone(2.0, frequency=97.0), -1, 1))
    checked = check_prompt(data)
    assert checked.clipped_fraction == pytest.approx(1 - 2 / math.pi * math.asin(0.999 / 2), abs=1e-3)
    assert codes(checked) == ["audio_clipped"]
    assert check_prompt(data, PromptLimits(max_clipped_fraction=0.7)).faults == ()


@pytest.mark.parametrize(("clipped", "expected"), [(320, []), (321, ["audio_clipped"])])
def test_one_per_cent_clipped_is_the_bound(clipped: int, expected: list[str]) -> None:
    samples = tone(0.5)  # 32000 samples, of which 1 % are 320
    samples[:clipped] = -1.0
    assert codes(check_prompt(wav(samples, subtype="PCM_16"))) == expected


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.zeros(2 * RATE), ["audio_silent"]),
        (np.full(2 * RATE, 0.25), ["audio_silent"]),  # an offset is no sound
        # RMS 20 log10(a / sqrt 2): a = 0.0013 is -60.7 dBFS
        (tone(0.0013), ["audio_silent"]),
        # a = 0.003 is -53.5 as a whole, and no frame is above -50: a room, not a voice
        (tone(0.003), ["audio_silent"]),
        # a = 0.006 is -47.4
        (tone(0.006), []),
        # one 25 ms frame of 80 at -43 dBFS is -62 as a whole: a click
        (np.concatenate([tone(0.01, 0.025), np.zeros(79 * 400)]), ["audio_silent"]),
    ],
)
def test_silence(samples: npt.NDArray[np.float64], expected: list[str]) -> None:
    assert codes(check_prompt(wav(samples))) == expected


def test_digital_silence_is_reported_as_a_finite_level() -> None:
    assert check_prompt(wav(np.zeros(2 * RATE))).rms_dbfs == FLOOR_DBFS == -120.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_in_one_channel_of_two(value: float) -> None:
    samples = np.stack([tone(0.5), tone(0.5)], axis=1)
    samples[7, 1] = value
    checked = check_prompt(wav(samples))
    assert codes(checked) == ["audio_nan"]
    assert math.isfinite(checked.rms_dbfs)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(RATE, []), (RATE - 1, ["audio_too_short"]), (1, ["audio_silent", "audio_too_short"])],
)
def test_shortest(frames: int, expected: list[str]) -> None:
    assert codes(check_prompt(wav(tone(0.5)[:frames]))) == expected


def test_all_faults_at_once() -> None:
    samples = np.full(RATE // 2, 1.0)
    samples[0] = np.nan
    assert codes(check_prompt(wav(samples))) == [
        "audio_nan",
        "audio_silent",
        "audio_clipped",
        "audio_too_short",
    ]


def test_longest() -> None:
    quiet_minute = tone(0.1, 30.0)
    assert codes(check_prompt(wav(quiet_minute))) == []
    with pytest.raises(RowError) as caught:
        check_prompt(wav(np.append(quiet_minute, [0.1, 0.1])))
    assert caught.value.code == "audio_too_long"
    assert codes(check_prompt(wav(tone(0.1, 3.0)), PromptLimits(max_duration_s=3.0))) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "audio_empty"),
        (wav(np.zeros(0)), "audio_empty"),
        (b"ID3" + bytes(500), "audio_unreadable"),
        (wav(np.tile(tone(0.5)[:, None], 9)), "audio_too_many_channels"),
    ],
    ids=["nothing", "no samples", "no audio", "nine channels"],
)
def test_what_cannot_be_measured_raises(data: bytes, code: str) -> None:
    with pytest.raises(RowError) as caught:
        check_prompt(data)
    assert caught.value.code == code


@given(st.floats(0.01, 0.9), st.sampled_from([0.25, 0.5, 2.0]))
def test_halving_the_amplitude_is_six_decibels(amplitude: float, factor: float) -> None:
    one = check_prompt(wav(tone(amplitude, 1.0))).rms_dbfs
    other = check_prompt(wav(tone(amplitude * factor, 1.0))).rms_dbfs
    assert other - one == pytest.approx(20 * math.log10(factor), abs=1e-4)


def test_a_rate_that_cannot_be_resampled_is_told() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.sin(np.arange(2 * 44_101) / 9), 44_101, format="WAV")
    assert [fault.code for fault in check_prompt(buffer.getvalue()).faults] == ["audio_odd_sample_rate"]
