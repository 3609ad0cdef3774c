from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.audio import Waveform, resample
from pipeline.errors import CheckpointError
from pipeline.evaluators import load_speaker_encoder, speaker_encoder_id
from pipeline.metrics.similarity import cosine


@pytest.fixture(scope="module")
def encoder():
    return load_speaker_encoder("demo:resemblyzer")


def test_one_voice_is_nearer_to_itself_than_to_another(encoder, voices):
    names = ["slt-1.flac", "slt-2.flac", "rms-1.flac", "rms-2.flac"]
    slt_1, slt_2, rms_1, rms_2 = (e.vector for e in encoder.embed([voices[name][0] for name in names]))
    same = [cosine(slt_1, slt_2), cosine(rms_1, rms_2)]
    different = [cosine(a, b) for a in (slt_1, slt_2) for b in (rms_1, rms_2)]
    assert min(same) > max(different)


def test_is_resemblyzers_own_embedding(encoder, voices):
    from resemblyzer import VoiceEncoder, preprocess_wav

    theirs = VoiceEncoder("cpu", verbose=False)
    whole = [waveform for waveform, _ in voices.values()]
    clips = [
        *whole,
        *(Waveform(w.samples[: int(s * 16_000)], 16_000) for w in whole for s in (0.5, 1.7, 2.9)),
    ]
    for clip, embedding in zip(clips, encoder.embed(clips), strict=True):
        expected = theirs.embed_utterance(preprocess_wav(clip.samples))
        assert embedding.vector.dtype == np.float32
        np.testing.assert_allclose(embedding.vector, expected, atol=1e-5)


def test_does_not_depend_on_batch_mates(encoder, voices):
    a, b = voices["slt-2.flac"][0], voices["rms-2.flac"][0]
    alone = encoder.embed([b])[0].vector
    assert np.array_equal(encoder.embed([a, b])[1].vector, alone)


def test_other_sample_rates_are_resampled(encoder, voices):
    waveform, _ = voices["slt-2.flac"]
    at_16k, at_24k = encoder.embed([waveform, resample(waveform, 24_000)])
    assert cosine(at_16k.vector, at_24k.vector) > 0.99


def noise(samples: int, level: float) -> np.ndarray:
    return level * np.random.default_rng(0).standard_normal(samples)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros(16_000), noise(100, 0.1), noise(480, 0.1), noise(16_000, 0.001)],
    ids=["empty", "silent", "under one window", "one window", "noise"],
)
def test_what_has_no_voice_is_unscored(encoder, samples):
    (embedding,) = encoder.embed([Waveform(samples.astype(np.float32), 16_000)])
    assert embedding.vector is None
    assert embedding.unscored_reason == "no voiced audio to take an embedding of"


def test_clipping_audio_stays_finite(encoder, voices):
    waveform, _ = voices["slt-2.flac"]
    (embedding,) = encoder.embed([Waveform(waveform.samples * 20.0, waveform.sample_rate)])
    assert np.isfinite(embedding.vector).all()


def test_id_names_the_version(encoder):
    assert encoder.id == speaker_encoder_id("demo:resemblyzer")
    assert encoder.id.startswith("demo:resemblyzer-0.1")


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(CheckpointError, match=r"pip install 'voicemill\[demo\]'"):
        load_speaker_encoder("demo:resemblyzer")
