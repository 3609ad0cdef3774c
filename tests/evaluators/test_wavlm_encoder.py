from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, WavLMForXVector

from pipeline.audio import Waveform, resample
from pipeline.evaluators import load_speaker_encoder, speaker_encoder_id
from pipeline.evaluators.wavlm_encoder import WavLMEncoder
from pipeline.metrics.similarity import cosine


@pytest.fixture(scope="module")
def encoder(wavlm_folder):
    return load_speaker_encoder(str(wavlm_folder))


def test_is_the_models_x_vector(encoder, wavlm_folder, tone):
    clip = tone(0.7)
    model = WavLMForXVector.from_pretrained(wavlm_folder).eval()
    with torch.no_grad():  # the checkpoint's extractor does not normalise: the samples are the input
        expected = model(torch.from_numpy(clip.samples)[None]).embeddings[0].numpy()
    (embedding,) = encoder.embed([clip])
    assert embedding.vector.shape == (48,)
    np.testing.assert_allclose(embedding.vector, expected, rtol=1e-5)


def test_does_not_depend_on_batch_mates(encoder, tone):
    clips = [tone(0.7), tone(1.9, 330.0), tone(0.5, 440.0)]
    together = [e.vector for e in encoder.embed(clips)]
    for clip, vector in zip(clips, together, strict=True):
        assert np.array_equal(encoder.embed([clip])[0].vector, vector)


def lengths_of(encoder, monkeypatch):
    """The shapes [clips, samples] that the model is given from now on."""
    shapes = []
    forward = encoder._model.wavlm.forward

    def watched(values, **more):
        shapes.append(tuple(values.shape))
        return forward(values, **more)

    monkeypatch.setattr(encoder._model.wavlm, "forward", watched)
    return shapes


def transformers_alone(folder, clip):
    """transformers' own x-vector of one clip without a mask: nothing is padded, so its head is right."""
    model = WavLMForXVector.from_pretrained(folder).eval()
    inputs = Wav2Vec2FeatureExtractor.from_pretrained(folder)(
        clip.samples, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        return model(inputs.input_values).embeddings[0].numpy()


def test_layer_norm_clips_go_padded_and_masked(layer_norm_wavlm_folder, tone, monkeypatch):
    clips = [tone(1.9, 330.0), tone(0.7), tone(0.5, 440.0), tone(1.0, 550.0)]
    encoder = WavLMEncoder(str(layer_norm_wavlm_folder), batch_s=100.0)
    shapes = lengths_of(encoder, monkeypatch)
    together = [e.vector for e in encoder.embed(clips)]
    assert shapes == [(4, 30_400)]
    for clip, vector in zip(clips, together, strict=True):
        alone = transformers_alone(layer_norm_wavlm_folder, clip)
        np.testing.assert_allclose(vector, alone, atol=1e-5 * np.abs(alone).max())
        assert cosine(vector, alone) > 1 - 1e-9


def test_group_norm_clips_go_with_those_of_their_length(wavlm_folder, tone, monkeypatch):
    clips = [tone(0.7), tone(1.9, 330.0), tone(0.7, 440.0), tone(1.9, 550.0), tone(1.9, 660.0)]
    encoder = WavLMEncoder(str(wavlm_folder), batch_s=4.0)
    shapes = lengths_of(encoder, monkeypatch)
    together = [e.vector for e in encoder.embed(clips)]
    assert shapes == [(2, 11_200), (2, 30_400), (1, 30_400)]  # 3 x 1.9 s are over 4 s
    for clip, vector in zip(clips, together, strict=True):
        alone = transformers_alone(wavlm_folder, clip)
        np.testing.assert_allclose(vector, alone, atol=1e-5 * np.abs(alone).max())


def test_clips_without_an_embedding_keep_their_place_in_a_batch(layer_norm_wavlm_folder, tone):
    encoder = WavLMEncoder(str(layer_norm_wavlm_folder), batch_s=100.0)
    clips = [Waveform(np.zeros(16_000, np.float32), 16_000), tone(0.7), tone(0.1), tone(0.9, 440.0)]
    found = [e.vector for e in encoder.embed(clips)]
    assert [vector is None for vector in found] == [True, False, True, False]
    assert cosine(found[3], encoder.embed([clips[3]])[0].vector) > 1 - 1e-9
    assert encoder.embed([]) == []


def test_other_sample_rates_are_resampled(encoder, voices):
    waveform, _ = voices["slt-2.flac"]
    other, _ = voices["rms-2.flac"]
    original, resampled, different = encoder.embed([waveform, resample(waveform, 24_000), other])
    near, far = cosine(original.vector, resampled.vector), cosine(original.vector, different.vector)
    assert near > 0.99
    assert near > far


def test_shortest_clip_that_has_a_deviation(encoder, tone):
    # By hand: a feature per 320 samples, the first takes 400. The head's kernels (5, 3, 3, 1, 1) with
    # dilations (1, 2, 3, 1, 1) take 4 + 4 + 6 = 14 frames; two are left of 16: 400 + 15 * 320 = 5200.
    clip = tone(1.0).samples
    enough, short = encoder.embed([Waveform(clip[:5200], 16_000), Waveform(clip[:5199], 16_000)])
    assert np.isfinite(enough.vector).all()
    assert short.vector is None
    assert "too short" in short.unscored_reason


@pytest.mark.parametrize("samples", [0, 16_000])
def test_silence_is_unscored(encoder, samples):
    (embedding,) = encoder.embed([Waveform(np.zeros(samples, np.float32), 16_000)])
    assert embedding.vector is None
    assert embedding.unscored_reason


def test_id_is_folder_name_and_content_hash(encoder, wavlm_folder):
    assert encoder.id == speaker_encoder_id(str(wavlm_folder))
    assert encoder.id.startswith("tiny-wavlm@")


@pytest.mark.gpu
def test_a_gpu_hears_what_a_cpu_hears(wavlm_folder, layer_norm_wavlm_folder, tone):
    clips = [tone(0.5 + 0.1 * i, 200.0 + 60.0 * i) for i in range(9)]
    for folder in (str(wavlm_folder), str(layer_norm_wavlm_folder)):
        on_cpu = WavLMEncoder(folder).embed(clips)
        for one, other in zip(WavLMEncoder(folder, device="cuda").embed(clips), on_cpu, strict=True):
            assert cosine(one.vector, other.vector) > 1 - 1e-5
