from __future__ import annotations

import json

import librosa
import numpy as np
import pytest
import torch
from dac.nn.quantize import ResidualVectorQuantize
from torch import nn

from pipeline.audio import Waveform
from pipeline.codecs import codec_info, load_codec
from pipeline.codecs.frame_codec import save_frame_codec
from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.codecs.frame_network import FrameCodec, InverseStft, LogMel
from pipeline.codecs.residual_quantizer import ResidualQuantizer
from pipeline.errors import CheckpointError

TINY = FrameCodecConfig(
    encoder_dim=8,
    encoder_blocks=(1, 1),
    latent_dim=16,
    decoder_dim=8,
    decoder_blocks=(1, 1),
    n_codebooks=4,
    codebook_size=32,
    codebook_dim=4,
)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return FrameCodec(TINY).eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frame")
    save_frame_codec(network, folder, name="tiny")
    return folder


def noise(num_samples, seed=0):
    samples = 0.1 * np.random.default_rng(seed).standard_normal(num_samples)
    return Waveform(samples.astype(np.float32), 24_000)


def test_the_numbers_are_those_of_the_design(folder):
    info = codec_info(str(folder))
    assert (info.sample_rate, info.hop_length, info.frame_rate) == (24_000, 960, 25.0)
    assert (info.num_codebooks, info.codebook_size) == (4, 32)
    assert info.id.startswith("tiny")


@pytest.mark.parametrize("num_samples", [1, 959, 960, 961, 24_000])
def test_a_clip_is_as_many_frames_as_it_fills(folder, num_samples):
    codec = load_codec(str(folder))
    codes = codec.encode([noise(num_samples)])[0]
    assert codes.shape == (4, -(-num_samples // 960))
    assert codes.dtype == np.uint16
    assert codes.max() < 32
    decoded = codec.decode([codes])[0]
    assert decoded.samples.shape == (codes.shape[1] * 960,)
    assert np.isfinite(decoded.samples).all()


def test_a_loaded_codec_is_the_saved_network(network, folder):
    clip = noise(9600)
    codes = load_codec(str(folder)).encode([clip])[0]
    with torch.no_grad():
        z, expected, *_ = network.encode(torch.from_numpy(clip.samples)[None, None])
        audio = network.decode(z)[0, 0].numpy()
    np.testing.assert_array_equal(codes, expected[0].numpy())
    np.testing.assert_allclose(load_codec(str(folder)).decode([codes])[0].samples, audio, atol=1e-5)


def test_fewer_codebooks_are_the_first_of_them(network, folder, tmp_path):
    save_frame_codec(network, tmp_path, num_codebooks=2)
    clip = noise(4800)
    short = load_codec(str(tmp_path))
    assert short.num_codebooks == 2
    np.testing.assert_array_equal(short.encode([clip])[0], load_codec(str(folder)).encode([clip])[0][:2])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_mel": 80}, "unknown key 'n_mel'"), ({"latent_dim": 24}, "cannot load the codec")],
)
def test_a_wrong_config_is_said(folder, tmp_path, change, message):
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=message):
        load_codec(str(tmp_path))


def test_log_mel_frames_are_librosas():
    """Frame t of ours is centred on the middle of hop t; librosa's frame t begins at sample t * hop."""
    config = FrameCodecConfig()
    clip = noise(2400)
    ours = LogMel(config)(torch.from_numpy(clip.samples)[None, None])[0]
    assert ours.shape == (100, 10)
    padded = np.pad(clip.samples, (1024 - 240) // 2)
    filters = librosa.filters.mel(sr=24_000, n_fft=1024, n_mels=100, htk=True, norm="slaney")
    spectrum = np.abs(librosa.stft(padded, n_fft=1024, hop_length=240, window="hann", center=False))
    expected = (np.log(np.maximum(filters @ spectrum, 1e-5)) + 3) / 3
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-3)


def test_the_head_gives_back_the_signal_of_a_true_spectrum():
    """Spectra of a known signal, frames of 960 samples every 240, as log magnitudes and phases."""
    signal = noise(240 * 20).samples.astype(np.float64)
    padded = np.pad(signal, 360)
    window = np.hanning(961)[:960]
    frames = np.stack([padded[240 * t : 240 * t + 960] * window for t in range(20)])
    spectrum = np.fft.rfft(frames)
    features = np.concatenate([np.log(np.abs(spectrum) + 1e-12), np.angle(spectrum)], axis=1)
    head = InverseStft(dim=8, hop=240)
    head.project = nn.Identity()
    audio = head(torch.from_numpy(features.T[None]).float())[0, 0].numpy()
    assert audio.shape == signal.shape
    np.testing.assert_allclose(audio, signal, atol=1e-4)


def theirs_like(ours: ResidualQuantizer, dim: int) -> ResidualVectorQuantize:
    """descript-audio-codec's quantizer with our weights; it normalises its projections' weights."""
    quantizers = list(ours.quantizers)
    size, low = quantizers[0].codebook.weight.shape
    theirs = ResidualVectorQuantize(dim, len(quantizers), size, low)
    for mine, other in zip(quantizers, theirs.quantizers, strict=True):
        other.codebook.weight.data = mine.codebook.weight.data.clone()
        for name in ("in_proj", "out_proj"):
            source, target = getattr(mine, name), getattr(other, name)
            target.weight_v.data = source.weight.data.clone()
            target.weight_g.data = source.weight.data.flatten(1).norm(dim=1)[:, None, None]
            target.bias.data = source.bias.data.clone()
    return theirs


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("training", [False, True])
def test_the_quantizer_is_dacs(training):
    torch.manual_seed(0)
    ours = ResidualQuantizer(12, n_codebooks=3, codebook_size=16, codebook_dim=4).train(training)
    theirs = theirs_like(ours, 12).train(training)
    z = torch.randn(2, 12, 9, requires_grad=True)
    mine, other = ours(z), theirs(z)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(ours.from_codes(mine.codes), theirs.from_codes(other[1])[0])
    gradients = [torch.autograd.grad((q[0].square().sum() + q[3] + q[4]), z)[0] for q in (mine, other)]
    torch.testing.assert_close(*gradients)


def test_quantizer_dropout_never_drops_the_first_codebook():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(12, 3, 16, 4, quantizer_dropout=1.0).train()
    z = torch.randn(64, 12, 5)
    z_q, codes, *_ = quantizer(z)
    partial = torch.stack([quantizer.from_codes(codes[:, : k + 1]) for k in range(3)])
    # each clip is the sum of its first one, two or three codebooks, and all three kinds occur
    distance = (partial - z_q).abs().amax((2, 3))
    assert (distance.min(0).values < 1e-5).all()
    assert set(distance.argmin(0).tolist()) == {0, 1, 2}


@pytest.mark.gpu
@pytest.mark.parametrize("spec", ["mini", "standin"])
def test_a_gpu_says_what_a_cpu_says(spec):
    on_cpu, on_gpu = load_codec(spec), load_codec(spec, device="cuda")
    draw = np.random.default_rng(0)
    info = on_cpu.info
    codes = [
        draw.integers(0, info.codebook_size, (info.num_codebooks, frames)).astype(np.uint16)
        for frames in (7, 40, 41, 90, 90, 3)
    ]
    expected = on_cpu.decode(codes)
    for one, wanted, alone in zip(on_gpu.decode(codes), expected, codes, strict=True):
        near = 1e-2 * np.abs(wanted.samples).max()  # TF32 convolutions
        # a GPU's clips are filled up with their own last frame, which is heard in the eight frames before
        same = max(alone.shape[1] - 8, 0) * info.hop_length
        np.testing.assert_allclose(one.samples[:same], wanted.samples[:same], atol=near)
        np.testing.assert_allclose(one.samples, on_gpu.decode([alone])[0].samples, atol=near)
    for found, wanted in zip(on_gpu.encode(expected), on_cpu.encode(expected), strict=True):
        assert (found == wanted).mean() > 0.98  # argmins, some of them close
