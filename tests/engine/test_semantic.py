from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from pipeline.engine.semantic import SemanticPathway, inject_features
from pipeline.errors import CheckpointError


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(num_samples) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def config():
    return WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_mel_bins=80,
    )


@pytest.fixture(scope="module")
def pathway(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SemanticPathway(config, hidden_size=24).eval()


def test_features_are_whisper_pooled_and_projected(config, pathway):
    # the same weights in transformers' whole Whisper, fed by the extractor at its defaults
    whisper = WhisperModel(config).eval()
    whisper.encoder.load_state_dict(pathway.encoder.state_dict())
    waveform = noise(20_000)
    mel = WhisperFeatureExtractor()(waveform, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        hidden = whisper.encoder(mel).last_hidden_state[0]
        pairs = (hidden[0::2] + hidden[1::2]) / 2
        expected = pairs @ pathway.projector.weight.T + pathway.projector.bias
        [features] = pathway([waveform])
    assert features.shape == (32, 24)  # 1.25 s at 25 Hz is 31.25 frames
    torch.testing.assert_close(features, expected[:32])


def test_features_do_not_depend_on_mates(pathway):
    waveforms = [noise(640, 1), noise(48_001, 2), noise(9_000, 3)]
    with torch.no_grad():
        together = pathway(waveforms)
        alone = [pathway([waveform])[0] for waveform in waveforms]
    assert [len(features) for features in together] == [1, 76, 15]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_shorter_encoder_reads_shorter_references():
    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        max_source_positions=250,  # 5 s
    )
    pathway = SemanticPathway(config, hidden_size=8).eval()
    with torch.no_grad():
        assert pathway([noise(80_000)])[0].shape == (125, 8)
    with pytest.raises(ValueError, match="longer than the Whisper encoder"):
        pathway([noise(80_001)])


def test_save_and_load(tmp_path, pathway):
    pathway.save(tmp_path)
    loaded = SemanticPathway.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded([noise(16_000)])[0], pathway([noise(16_000)])[0])
    assert not loaded.training
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"encoder_layers": 2}))
    with pytest.raises(CheckpointError, match="semantic pathway"):
        SemanticPathway.load(tmp_path)


def test_gradients_reach_encoder_and_projector(pathway):
    embedding = torch.nn.Embedding(10, 24)
    ids = torch.tensor([[1, 9, 9, 2]])
    with inject_features(embedding, 9, pathway([noise(1280)])):
        embedding(ids).sum().backward()
    assert pathway.projector.weight.grad.abs().sum() > 0
    assert pathway.encoder.conv1.weight.grad.abs().sum() > 0
    pathway.zero_grad()


def test_injection_lands_at_the_placeholders_alone():
    embedding = torch.nn.Embedding(10, 4)
    ids = torch.tensor([[9, 1, 9], [2, 9, 3]])
    features = [torch.full((2, 4), 5.0), torch.full((1, 4), 7.0)]
    plain = embedding(ids)
    with inject_features(embedding, 9, features):
        mixed = embedding(ids)
    assert torch.equal(mixed[ids != 9], plain[ids != 9])
    assert torch.equal(mixed[ids == 9], torch.tensor([[5.0] * 4, [5.0] * 4, [7.0] * 4]))
    assert torch.equal(embedding(ids), plain)  # the hook is gone


def test_features_that_do_not_fit_the_placeholders():
    embedding = torch.nn.Embedding(10, 4)
    for features in ([], [torch.zeros(1, 4)], [torch.zeros(3, 4)]):
        with (
            inject_features(embedding, 9, features),
            pytest.raises(ValueError, match="2 semantic placeholders"),
        ):
            embedding(torch.tensor([[9, 1, 9]]))
    assert not embedding._forward_hooks


def test_logits_change_only_with_the_features(checkpoint_of, request_for, prompt_for):
    checkpoint = checkpoint_of(8)
    inputs = checkpoint.prompt_format.unpack(
        checkpoint.prompt_format.pack(request_for(), prompt_for(), max_new_frames=50)
    )
    tensors = {
        "input_ids": torch.from_numpy(inputs.input_ids)[None],
        "audio_input_ids": torch.from_numpy(inputs.audio_input_ids)[None],
        "audio_input_ids_mask": torch.ones(1, len(inputs.audio_input_ids), dtype=torch.bool),
    }

    def logits(waveform: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            features = checkpoint.semantic([waveform])
            with inject_features(
                checkpoint.model.model.embed_tokens, checkpoint.prompt_format.special.audio, features
            ):
                return checkpoint.model(**tensors).logits[0]

    num_samples = len(inputs.waveforms[0])
    first = logits(inputs.waveforms[0])
    assert torch.equal(first, logits(inputs.waveforms[0].copy()))
    other = logits(noise(num_samples))
    heard = int((tensors["input_ids"][0] == checkpoint.prompt_format.special.audio).nonzero()[0])
    # attention is causal: nothing before the first placeholder can know
    torch.testing.assert_close(other[:heard], first[:heard])
    assert (other[-1] - first[-1]).abs().max() > 1e-4
