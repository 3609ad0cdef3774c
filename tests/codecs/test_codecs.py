from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel

from pipeline.audio import Waveform
from pipeline.codecs import base, codec_info, load_codec
from pipeline.codecs.dac_codec import save_dac
from pipeline.errors import CheckpointError, RowError


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def build_dac(folder, num_codebooks=8, rates=(4, 4, 6, 10)):
    from dac import DAC

    with torch.random.fork_rng():
        torch.manual_seed(num_codebooks)
        model = DAC(
            encoder_dim=4,
            encoder_rates=list(rates),
            decoder_dim=32,
            decoder_rates=list(reversed(rates)),
            n_codebooks=num_codebooks,
            sample_rate=24_000,
        ).eval()
    save_dac(model, folder, name=f"dac{num_codebooks}")
    return model


def build_higgs(folder, bandwidth=2):
    config = HiggsAudioV2TokenizerConfig(
        target_bandwidths=[0.5, bandwidth],
        codebook_dim=8,
        acoustic_model_config={
            "model_type": "dac",
            "encoder_hidden_size": 4,
            "downsampling_ratios": [8, 5, 4, 2, 3],
            "decoder_hidden_size": 64,
            "upsampling_ratios": [8, 5, 4, 2, 3],
            "hidden_size": 16,
        },
        semantic_model_config={
            "model_type": "hubert",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "conv_dim": [8] * 7,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 2,
            "mask_time_prob": 0.0,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = HiggsAudioV2TokenizerModel(config).eval()
        for quantizer in model.quantizer.quantizers:  # transformers starts them at zero: every code the same
            quantizer.codebook.embed.normal_()
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=["dac8", "dac12", "dac-odd-strides", "higgs8", "higgs12"])
def built(request, tmp_path_factory):
    """(codec, the network it was made from, its number of codebooks)"""
    folder = tmp_path_factory.mktemp(request.param)
    num_codebooks = 12 if "12" in request.param else 8
    if request.param.startswith("higgs"):
        model = build_higgs(folder, bandwidth=num_codebooks // 4)
    elif request.param == "dac-odd-strides":
        model = build_dac(folder, rates=(8, 5, 4, 2, 3))
    else:
        model = build_dac(folder, num_codebooks)
    return load_codec(str(folder)), model, num_codebooks


def noise(num_samples: int, seed: int = 0, sample_rate: int = 24_000) -> Waveform:
    rng = np.random.default_rng(seed)
    return Waveform((rng.standard_normal(num_samples) * 0.1).astype(np.float32), sample_rate)


def network_codes(model, waveform: Waveform) -> np.ndarray:
    padded = np.pad(waveform.samples, (0, -len(waveform.samples) % 960))
    with torch.no_grad():
        audio = torch.from_numpy(padded)[None, None]
        if isinstance(model, HiggsAudioV2TokenizerModel):
            return model.encode(audio).audio_codes[0].numpy()
        return model(audio, 24_000)["codes"][0].numpy()


def network_audio(model, codes: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        batch = torch.from_numpy(codes.astype(np.int64))[None]
        if isinstance(model, HiggsAudioV2TokenizerModel):
            return model.decode(batch).audio_values[0, 0].numpy()
        return model.decode(model.quantizer.from_codes(batch)[0])[0, 0].numpy()


def test_numbers(built):
    codec, _, num_codebooks = built
    assert (codec.sample_rate, codec.hop_length, codec.frame_rate) == (24_000, 960, 25.0)
    assert (codec.num_codebooks, codec.codebook_size) == (num_codebooks, 1024)


@pytest.mark.parametrize("num_samples", [1, 959, 960, 961, 5_000, 24_000])
def test_encode(built, num_samples):
    codec, model, num_codebooks = built
    waveform = noise(num_samples)
    [codes] = codec.encode([waveform])
    assert codes.dtype == np.uint16
    assert codes.shape == (num_codebooks, math.ceil(num_samples / 960))
    assert np.array_equal(codes, network_codes(model, waveform))


def test_decode(built):
    codec, model, num_codebooks = built
    codes = np.random.default_rng(0).integers(0, 1024, (num_codebooks, 11)).astype(np.uint16)
    [waveform] = codec.decode([codes])
    assert waveform.sample_rate == 24_000
    assert waveform.samples.dtype == np.float32
    assert len(waveform.samples) == 11 * 960
    theirs = network_audio(model, codes)
    np.testing.assert_allclose(waveform.samples[: len(theirs)], theirs, atol=1e-6)


def test_nothing_depends_on_batch_mates(built):
    codec, _, num_codebooks = built
    waveforms = [noise(n, seed) for seed, n in enumerate([5_000, 3_000, 5_000, 4_801])]
    codes = codec.encode(waveforms)
    for waveform, clip in zip(waveforms, codes, strict=True):
        assert np.array_equal(codec.encode([waveform])[0], clip)
    rng = np.random.default_rng(5)
    clips = [rng.integers(0, 1024, (num_codebooks, t)).astype(np.uint16) for t in (6, 3, 6, 1, 6)]
    for clip, waveform in zip(clips, codec.decode(clips), strict=True):
        np.testing.assert_allclose(codec.decode([clip])[0].samples, waveform.samples, atol=1e-5)


def test_a_batch_is_bounded_in_frames(built, monkeypatch):
    codec, _, num_codebooks = built
    rng = np.random.default_rng(6)
    clips = [rng.integers(0, 1024, (num_codebooks, t)).astype(np.uint16) for t in (6, 3, 6, 14, 6, 3, 14)]
    expected, shapes, decode = codec.decode(clips), [], codec._decode_batch
    monkeypatch.setattr(base, "_FRAMES_TOGETHER", 13)
    monkeypatch.setattr(codec, "_decode_batch", lambda codes: shapes.append(codes.shape) or decode(codes))
    for clip, waveform in zip(codec.decode(clips), expected, strict=True):
        np.testing.assert_allclose(clip.samples, waveform.samples, atol=1e-5)
    # two clips of 6 are 12 frames, a third would be too many; one of 14 is alone, but spoken
    assert [(b, t) for b, _, t in shapes] == [(2, 6), (1, 6), (2, 3), (1, 14), (1, 14)]


def test_bad_input(built):
    codec, _, num_codebooks = built
    with pytest.raises(ValueError, match="24000 Hz, got 16000 Hz"):
        codec.encode([noise(960, sample_rate=16_000)])
    with pytest.raises(RowError) as empty:
        codec.encode([noise(0)])
    assert empty.value.code == "audio_empty"
    with pytest.raises(RowError) as silent:
        codec.decode([np.zeros((num_codebooks, 0), np.uint16)])
    assert silent.value.code == "no_audio_generated"
    with pytest.raises(ValueError, match=rf"\[{num_codebooks}, T\]"):
        codec.decode([np.zeros((num_codebooks + 1, 4), np.uint16)])
    assert codec.encode([]) == codec.decode([]) == []


def test_info_needs_no_weights(tmp_path):
    build_dac(tmp_path / "m" / "codec", 12)
    codec = load_codec(str(tmp_path / "m" / "codec"))
    assert codec.id == codec_info(str(tmp_path / "m")).id  # a model's folder stands for the codec in it
    assert codec.info == codec_info(str(tmp_path / "m"))
    assert codec.id.startswith("dac12@")
    (tmp_path / "m" / "codec" / "model.safetensors").unlink()
    assert codec_info(str(tmp_path / "m")).num_codebooks == 12
    with pytest.raises(CheckpointError, match="cannot load the codec"):
        load_codec(str(tmp_path / "m"))


def test_saved_weights_are_safetensors_of_the_network(tmp_path):
    model = build_dac(tmp_path)
    saved, state = load_file(tmp_path / "model.safetensors"), model.state_dict()
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[key], state[key]) for key in saved)


def test_missing_package_names_the_remedy(tmp_path, monkeypatch):
    build_dac(tmp_path)
    monkeypatch.setitem(sys.modules, "dac", None)
    with pytest.raises(CheckpointError, match="pip install"):
        load_codec(str(tmp_path))
    assert codec_info(str(tmp_path)).num_codebooks == 8


def test_other_configs_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    with pytest.raises(CheckpointError, match="not a codec that voicemill knows"):
        load_codec(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"codec_type": "dac", "sample_rate": 24_000}))
    with pytest.raises(CheckpointError, match="lacks 'encoder_rates'"):
        codec_info(str(tmp_path))


def test_a_higgs_codec_with_weights_missing(tmp_path):
    from safetensors.torch import save_file

    build_higgs(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["fc2.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing, such as fc2\.weight"):
        load_codec(str(tmp_path))


def test_clips_filled_up_to_a_bucket_keep_their_length_and_do_not_hear_their_mates(tmp_path):
    """What a GPU does, on a CPU: the bucket is set by hand."""
    build_dac(tmp_path)
    codec = load_codec(str(tmp_path))
    exact = codec.decode([clip := np.random.default_rng(0).integers(0, 1024, (8, 20)).astype(np.uint16)])[0]
    codec._bucket = 32
    mates = [np.full((8, length), 7, np.uint16) for length in (3, 31, 32, 33)]
    alone = codec.decode([clip])[0]
    together = codec.decode([mates[0], clip, *mates[1:]])
    assert [len(wave.samples) for wave in together] == [960 * n for n in (3, 20, 31, 32, 33)]
    np.testing.assert_allclose(together[1].samples, alone.samples, atol=1e-5)
    # only its end, where the convolutions look past it, differs from the clip decoded at its own length
    np.testing.assert_allclose(alone.samples[: 960 * 12], exact.samples[: 960 * 12], atol=1e-5)
