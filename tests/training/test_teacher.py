from __future__ import annotations

import shutil
from collections import Counter

import librosa
import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.training.teacher import FORMANT_PERCENT, Speaker, draw_speaker, speak


def loudest_hz(samples, rate=24_000):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


@pytest.mark.usefixtures("fake_flite")
@pytest.mark.parametrize(("ratio", "rate"), [(1.0, 1.0), (0.86, 1.0), (1.16, 1.0), (1.1, 0.9), (0.92, 1.15)])
def test_pitch_and_pace_stay_as_asked_at_any_formant_ratio(ratio, rate):
    speech = speak(Speaker("s", "awb", ratio, f0_mean_hz=150.0, f0_stddev_hz=15.0, rate=rate), "Hello.")
    assert loudest_hz(speech.waveform.samples) == pytest.approx(150.0, abs=1.0)
    # the tone lasts 1 s at the teacher's pace; 0.1 s of silence is kept on either side before the warp
    assert speech.waveform.sample_rate == 24_000
    assert speech.waveform.duration_s == pytest.approx(1.0 / rate + 0.2 / ratio, abs=0.003)
    ends = [phone.end_s for phone in speech.phones]
    assert [phone.phone for phone in speech.phones] == ["pau", "aa", "pau"]
    assert ends == pytest.approx(
        [0.1 / ratio, 0.1 / ratio + 1.0 / rate, speech.waveform.duration_s], abs=0.003
    )


@pytest.mark.usefixtures("fake_flite")
def test_all_clips_are_equally_loud():
    speech = speak(Speaker("s", "slt", 1.0, 180.0, 10.0, 1.0), "Hello.")
    assert np.sqrt(np.mean(np.square(speech.waveform.samples))) == pytest.approx(0.12, rel=1e-3)
    assert np.abs(speech.waveform.samples).max() <= 0.9


def test_speakers_follow_from_seed_and_index():
    assert draw_speaker(5, 1) == draw_speaker(5, 1)
    assert draw_speaker(5, 1) != draw_speaker(5, 2)
    drawn = [draw_speaker(i, 1) for i in range(60)]
    assert len({speaker.speaker_id for speaker in drawn}) == 60
    assert Counter(speaker.base_voice for speaker in drawn) == {"slt": 20, "rms": 20, "awb": 20}
    for speaker in drawn:
        low, high = FORMANT_PERCENT[speaker.base_voice]
        assert low / 100 <= speaker.formant_ratio <= high / 100


def test_the_voice_whose_pitch_cannot_be_set_says_the_pitch_it_will_have():
    for speaker in (draw_speaker(i, 1) for i in range(30)):
        if speaker.base_voice == "rms":
            assert speaker.f0_mean_hz == pytest.approx(101.0 * speaker.formant_ratio, abs=0.1)


def test_without_flite_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="apt-get install flite"):
        speak(draw_speaker(0, 1), "Hello.")


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
@pytest.mark.parametrize(("ratio", "f0"), [(1.0, 130.0), (1.15, 110.0), (0.95, 160.0)])
def test_the_real_teacher_speaks_at_the_pitch_asked_for(ratio, f0):
    speech = speak(
        Speaker("s", "awb", ratio, f0, 0.1 * f0, 1.0), "The old man told us a long story about a boat."
    )
    pitch, voiced, _ = librosa.pyin(speech.waveform.samples, fmin=60, fmax=300, sr=24_000)
    assert np.median(pitch[voiced]) == pytest.approx(f0, rel=0.08)
    assert speech.phones[-1].end_s == pytest.approx(speech.waveform.duration_s, abs=0.02)
