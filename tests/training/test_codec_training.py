from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.audio import Waveform
from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.codecs.frame_network import FrameCodec
from pipeline.evaluators import SpeakerEmbedding, Transcript
from pipeline.training.clips import Crops
from pipeline.training.codec_evaluation import listen
from pipeline.training.codec_losses import SpectralLoss
from pipeline.training.codec_training import LOSS_WEIGHTS, SPECTRAL_WEIGHTS, CodecTrainee, DecoderTrainee
from pipeline.training.phones import PHONES
from pipeline.training.trainer import TrainSettings, train

TINY = FrameCodecConfig(
    encoder_dim=16,
    encoder_blocks=(1, 1),
    latent_dim=32,
    decoder_dim=32,
    decoder_blocks=(1, 1),
    n_codebooks=3,
    codebook_size=16,
    codebook_dim=4,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def tones(batch=4, frames=8):
    """Two "phones", each with a pitch of its own, in turn by frame."""
    time = torch.arange(frames * 960) / 24_000
    said = torch.arange(frames).repeat_interleave(960) % 2
    audio = 0.3 * torch.sin(2 * math.pi * time * torch.where(said == 0, 200.0, 700.0))
    phones = torch.tensor([PHONES.index("aa"), PHONES.index("iy")]).repeat(frames // 2).repeat_interleave(2)
    return Crops(audio.expand(batch, 1, -1).clone(), phones.expand(batch, -1).clone())


def dac_network():
    from pipeline.codecs.dac_codec import new_dac

    return new_dac(
        encoder_dim=4,
        encoder_rates=[4, 4, 6, 10],
        decoder_dim=32,
        decoder_rates=[10, 6, 4, 4],
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
        sample_rate=24_000,
        quantizer_dropout=0.5,
    )


def test_equal_waveforms_are_at_no_distance():
    audio = tones().audio
    losses = SpectralLoss(24_000)(audio, audio.clone())
    assert losses.keys() == {"mel", "log_magnitude", "convergence"}
    assert all(value.item() == pytest.approx(0.0, abs=1e-6) for value in losses.values())


def test_half_the_amplitude_is_a_distance_of_log_2():
    noise = torch.rand(2, 1, 9600) - 0.5
    losses = SpectralLoss(24_000)(noise / 2, noise)
    assert losses["log_magnitude"].item() == pytest.approx(math.log(2), rel=1e-3)
    assert losses["mel"].item() == pytest.approx(math.log(2), rel=1e-2)  # few bands lie below the floor
    assert losses["convergence"].item() == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("make", [lambda: FrameCodec(TINY), dac_network], ids=["frame", "dac"])
def test_either_network_gives_every_loss_a_gradient(make):
    network = make()
    trainee = CodecTrainee(network, 24_000).train()
    losses = trainee(tones())
    assert LOSS_WEIGHTS.keys() <= losses.keys()
    sum(losses[name] * weight for name, weight in LOSS_WEIGHTS.items()).backward()
    without = [n for n, p in trainee.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_the_phone_loss_reaches_the_encoder_through_the_first_codebook_alone():
    trainee = CodecTrainee(FrameCodec(TINY), 24_000).train()
    trainee(tones())["phone"].backward()
    quantizers = trainee.codec.quantizer.quantizers
    assert trainee.codec.encoder[0].weight.grad.abs().sum() > 0
    assert quantizers[0].in_proj.weight.grad.abs().sum() > 0
    assert not quantizers[1].in_proj.weight.grad.any()


def test_training_learns_phones_and_sound(tmp_path):
    trainee = CodecTrainee(FrameCodec(TINY), 24_000)
    batch = tones()
    before = trainee.eval()(batch)
    settings = TrainSettings(steps=60, learning_rate=3e-3, loss_weights=LOSS_WEIGHTS, warmup_steps=5)
    train(
        trainee,
        lambda step: batch,
        lambda module, crops: module(crops),
        settings,
        tmp_path,
        after_step=lambda module, step: module.after_step(step),
    )
    after = trainee.eval()(batch)
    assert float(after["phone_accuracy"]) > 0.95
    assert after["mel"].item() < 0.7 * before["mel"].item()


def test_a_decoder_goes_on_alone_and_the_codes_stay(tmp_path):
    codec, crops = FrameCodec(TINY), tones()
    before = codec.eval().encode(crops.audio).codes
    sound = codec.decode(codec.encode(crops.audio).z).detach()
    trainee = DecoderTrainee(codec, 24_000)
    settings = TrainSettings(steps=20, learning_rate=3e-3, loss_weights=SPECTRAL_WEIGHTS, warmup_steps=5)
    train(trainee, lambda step: crops, lambda module, batch: module(batch), settings, tmp_path)
    codec.eval()
    assert torch.equal(codec.encode(crops.audio).codes, before)
    distance = [
        SpectralLoss(24_000)(audio, crops.audio)["mel"].item()
        for audio in (codec.decode(codec.encode(crops.audio).z), sound)
    ]
    assert distance[0] < 0.9 * distance[1]


def test_dead_codes_become_latents_of_the_batch():
    trainee = CodecTrainee(FrameCodec(TINY), 24_000).train()
    trainee(tones())
    used = torch.rand(3, 16) < 0.6
    trainee.usage.copy_(used / 16)
    before = [q.codebook.weight.detach().clone() for q in trainee.codec.quantizer.quantizers]
    trainee.after_step(step=48)
    assert torch.equal(before[0], trainee.codec.quantizer.quantizers[0].codebook.weight)
    trainee.after_step(step=49)
    for i, quantizer in enumerate(trainee.codec.quantizer.quantizers):
        after = quantizer.codebook.weight.detach()
        assert torch.equal(after[used[i]], before[i][used[i]])
        revived = after[~used[i]]
        latents = trainee._latents[:, 4 * i : 4 * i + 4].transpose(1, 2).reshape(-1, 4)
        assert torch.isclose(revived[:, None], latents).all(2).any(1).all()


def test_perplexity_is_the_number_of_codes_evenly_used():
    trainee = CodecTrainee(FrameCodec(TINY), 24_000).eval()
    trainee.usage[0, :5] = 0.2
    assert float(trainee(tones())["perplexity_0"]) == pytest.approx(5.0, rel=1e-4)


class Parrot:
    """Hears the sentence in whatever is as loud as the original, and nothing in silence."""

    id = "parrot"

    def transcribe(self, waveforms, languages):
        return [Transcript("two words" if np.abs(w.samples).max() > 0.5 else "two") for w in waveforms]

    def embed(self, waveforms):
        return [SpeakerEmbedding(np.array([1.0, np.abs(w.samples).max()], np.float32)) for w in waveforms]


def test_a_codec_is_listened_to_by_number_of_codebooks():
    network = FrameCodec(TINY).eval()
    clip = Waveform(np.full(2000, 0.9, np.float32), 24_000)
    report = listen(network, [(clip, "Two words.")], [1, 3], Parrot(), Parrot())
    assert [heard.num_codebooks for heard in report] == [None, 1, 3]
    assert (report[0].wer, report[0].similarity) == (0.0, pytest.approx(1.0))
    assert all(heard.wer in (0.0, 0.5) and heard.similarity < 1.0 for heard in report[1:])
