"""The voices are flite's, spoken from known text (manifests/voices/voices.csv)."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_transcriber, transcriber_id
from pipeline.metrics.error_rates import error_rate, word_errors
from pipeline.metrics.normalizers import NORMALIZERS


@pytest.fixture(scope="module")
def transcriber():
    return load_transcriber("demo:pocketsphinx")


def test_hears_what_was_said(transcriber, voices):
    waveform, text = voices["rms-2.flac"]
    (transcript,) = transcriber.transcribe([waveform], ["en-US"])
    english = NORMALIZERS["en"]
    assert error_rate(word_errors(english(text), english(transcript.text))) < 0.5


def test_text_does_not_depend_on_the_clips_before(transcriber, voices):
    # with pocketsphinx's own carry-over this pair gives another text: the means of a high voice
    # are the wrong ones to start a low voice with
    high, low = voices["slt-high-1.flac"][0], voices["rms-low-1.flac"][0]
    (alone,) = load_transcriber("demo:pocketsphinx").transcribe([low], ["en"])
    both = transcriber.transcribe([high, low], ["en", "en"])
    assert both[1] == alone
    assert both[0] != both[1]


def test_other_sample_rates_are_resampled(transcriber, voices):
    waveform, text = voices["slt-2.flac"]
    (transcript,) = transcriber.transcribe([resample(waveform, 24_000)], ["en"])
    english = NORMALIZERS["en"]
    assert error_rate(word_errors(english(text), english(transcript.text))) < 0.5


@pytest.mark.parametrize("samples", [0, 1, 8_000])
def test_silence_is_heard_as_nothing(transcriber, samples):
    silence = Waveform(np.zeros(samples, np.float32), 16_000)
    (transcript,) = transcriber.transcribe([silence], ["en"])
    assert (transcript.text, transcript.unscored_reason) == ("", "silent: under -70 dBFS")


def test_a_clip_shorter_than_a_frame_is_heard_as_nothing(transcriber):
    (transcript,) = transcriber.transcribe([Waveform(np.full(100, 0.1, np.float32), 16_000)], ["en"])
    assert transcript.text == ""


def test_other_languages_stay_unscored(transcriber, voices):
    waveform, _ = voices["slt-2.flac"]
    german, english = transcriber.transcribe([waveform, waveform], ["de", "EN_us"])
    assert (german.text, german.unscored_reason) == (None, "demo:pocketsphinx hears English only")
    assert english.text


def test_every_waveform_needs_its_language(transcriber, voices):
    with pytest.raises(ValueError, match="zip"):
        transcriber.transcribe([voices["slt-2.flac"][0]], [])


def test_id_names_version_and_model(transcriber):
    assert transcriber.id == transcriber_id("demo:pocketsphinx")
    assert transcriber.id.startswith("demo:pocketsphinx-5.1")
    assert transcriber.id.endswith("/en-us")


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(CheckpointError, match=r"pip install 'voicemill\[demo\]'"):
        load_transcriber("demo:pocketsphinx")
