from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from pipeline.audio import (
    FLOOR_DBFS,
    MAX_CHANNELS,
    Waveform,
    can_resample,
    clipped_fraction,
    decode_audio,
    encode_flac,
    from_int16,
    peak_dbfs,
    resample,
    rms_dbfs,
    to_int16,
)
from pipeline.errors import RowError


def file_of(samples: np.ndarray, rate: int = 16_000, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **{"format": "WAV", "subtype": "FLOAT", **options})
    return buffer.getvalue()


def sine(hertz: float, rate: int, seconds: float = 1.0, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate + phase).astype(np.float32)


def code_of(data: bytes, **options: float) -> str:
    with pytest.raises(RowError) as caught:
        decode_audio(data, **options)
    assert "\n" not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    "kind", [{"format": "WAV", "subtype": "PCM_16"}, {"format": "FLAC", "subtype": "PCM_16"}]
)
def test_files_come_back_as_float_samples(kind: dict[str, str]) -> None:
    waveform = decode_audio(file_of(np.array([0.0, 0.5, -0.5, -1.0], np.float32), 8000, **kind))
    assert waveform.sample_rate == 8000
    assert waveform.duration_s == 4 / 8000
    assert np.allclose(waveform.samples, [0.0, 0.5, -0.5, -1.0], atol=1 / 32767)


def test_channels_are_averaged() -> None:
    assert np.allclose(decode_audio(file_of(np.array([[0.2, 0.4], [1.0, -1.0]]))).samples, [0.3, 0.0])


def test_what_cannot_be_read_has_a_code() -> None:
    assert code_of(b"") == "audio_empty"
    assert code_of(file_of(np.zeros(0, np.float32))) == "audio_empty"
    assert code_of(b"this is no audio at all") == "audio_unreadable"
    assert code_of(file_of(np.zeros((10, MAX_CHANNELS + 1), np.float32))) == "audio_too_many_channels"


def test_messages_are_the_same_each_time() -> None:
    with pytest.raises(RowError) as caught:
        decode_audio(b"this is no audio at all")
    assert caught.value.message == "not readable as audio (Format not recognised.)"


def test_a_long_file_is_not_unpacked_beyond_the_bound() -> None:
    # digital silence: an hour is a few kilobytes of FLAC and 230 MB of floats
    hour = file_of(np.zeros(3600 * 16_000, np.int16), format="FLAC", subtype="PCM_16")
    assert code_of(hour, max_duration_s=30.0) == "audio_too_long"
    exact = file_of(np.zeros(16_000, np.float32))
    assert decode_audio(exact, max_duration_s=1.0).duration_s == 1.0
    assert code_of(file_of(np.zeros(16_001, np.float32)), max_duration_s=1.0) == "audio_too_long"


@pytest.mark.parametrize(
    ("before", "after"), [(24_000, 16_000), (16_000, 24_000), (44_100, 16_000), (8_000, 24_000)]
)
def test_a_tone_keeps_its_pitch_and_level(before: int, after: int) -> None:
    made = resample(Waveform(sine(440, before), before), after)
    assert made.sample_rate == after
    assert len(made.samples) == after
    middle = slice(after // 10, -after // 10)  # the filter meets silence at the ends
    assert np.abs(made.samples[middle] - sine(440, after)[middle]).max() < 2e-3


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    made = resample(Waveform(sine(11_000, 24_000), 24_000), 16_000)  # above 8 kHz, the new Nyquist frequency
    assert np.abs(made.samples[1600:-1600]).max() < 0.01


@pytest.mark.parametrize(
    "rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]
)
def test_usual_rates_can_be_resampled_and_odd_ones_are_refused(rate: int) -> None:
    assert all(can_resample(rate, after) for after in (16_000, 24_000))
    assert not can_resample(44_101, 24_000)
    with pytest.raises(RowError) as caught:
        resample(Waveform(np.zeros(100, np.float32), 44_101), 24_000)
    assert caught.value.code == "audio_odd_sample_rate"


def test_flac_is_16_bit_and_clips_beyond_full_scale() -> None:
    data = encode_flac(Waveform(np.array([0.25, 1.7, -3.0], np.float32), 24_000))
    info = soundfile.info(io.BytesIO(data))
    assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_16", 24_000)
    assert np.allclose(decode_audio(data).samples, [0.25, 1.0, -1.0], atol=1e-4)


def test_int16_and_back() -> None:
    whole = np.arange(-32767, 32768, dtype=np.int16)
    assert np.array_equal(to_int16(from_int16(whole)), whole)


def test_levels_by_hand() -> None:
    # a sine of amplitude A has the RMS A / sqrt 2: 0.1 is -20 dBFS, less 3.01
    tone = 0.1 * sine(440, 16_000)
    assert rms_dbfs(tone) == pytest.approx(-23.0103, abs=1e-3)
    assert rms_dbfs(tone + 0.5) == pytest.approx(-23.0103, abs=1e-3), "an offset is no sound"
    assert peak_dbfs(np.array([0.01, -0.1, 0.05], np.float32)) == pytest.approx(-20.0, abs=1e-4)
    assert rms_dbfs(np.zeros(10, np.float32)) == peak_dbfs(np.zeros(0, np.float32)) == FLOOR_DBFS == -120.0


def test_samples_at_full_scale_are_clipped_ones() -> None:
    assert clipped_fraction(np.array([1.0, -1.0, 0.9991, 0.998, 0.0], np.float32)) == 3 / 5
    assert clipped_fraction(np.zeros(0, np.float32)) == 0.0
