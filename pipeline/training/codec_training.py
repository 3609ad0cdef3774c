"""Training a codec: one wrapper for both networks (`FrameCodec`, `dac.DAC`), with our phone loss.

The first codebook learns to tell phones apart: from its quantised vector alone a small head, which is
not shipped, names the phone of either half of the frame. HuBERT does that for the Higgs tokenizer and
WavLM for Mimi; here the teacher itself says what it speaks. A language model then finds the words in
codebook 0 and learns to speak sooner. That codebook is never dropped in training.

`DecoderTrainee` goes on with the decoder alone once a language model relies on the codes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipeline.codecs.frame_network import FrameCodec
from pipeline.training.clips import Crops
from pipeline.training.codec_losses import SpectralLoss
from pipeline.training.phones import PHONES

SPECTRAL_WEIGHTS = {"mel": 4.0, "log_magnitude": 1.0, "convergence": 1.0}
LOSS_WEIGHTS = SPECTRAL_WEIGHTS | {"commitment": 0.25, "codebook": 1.0, "phone": 1.0}
_USAGE_MEMORY = 0.99  # of the running share of each code, per step
_DEAD_BELOW = 0.05  # of an even share
_REVIVE_EVERY = 50  # steps
_HEAD_DIM = 128


class CodecTrainee(nn.Module):
    """A codec with what training adds: the phone head, and how often each code has been used of late.

    `codec` has `encode(audio)` giving (z, codes, latents, commitment loss, codebook loss), `decode(z)`, and
    `quantizer.quantizers` with `codebook` and `decode_code`.
    """

    usage: torch.Tensor

    def __init__(self, codec: Any, sample_rate: int) -> None:
        super().__init__()
        self.codec = codec
        self.spectral = SpectralLoss(sample_rate)
        quantizers = codec.quantizer.quantizers
        size, dim = quantizers[0].codebook.weight.shape
        self.phone_head = nn.Sequential(
            nn.Conv1d(dim, _HEAD_DIM, 1), nn.GELU(), nn.Conv1d(_HEAD_DIM, 2 * len(PHONES), 1)
        )
        self.register_buffer("usage", torch.zeros(len(quantizers), size))
        self._latents: torch.Tensor | None = None

    def forward(self, crops: Crops) -> dict[str, torch.Tensor]:
        """The losses, and for the log how many codes of each codebook are in use (its perplexity)."""
        z, codes, latents, commitment, codebook = self.codec.encode(crops.audio)
        losses = _spectral_losses(self.spectral, self.codec.decode(z), crops.audio)
        losses |= {"commitment": commitment, "codebook": codebook}
        logits = self._phone_logits(codes, latents)
        losses["phone"] = functional.cross_entropy(logits, crops.phones)
        with torch.no_grad():
            losses["phone_accuracy"] = (logits.argmax(1) == crops.phones).float().mean()
            if self.training:
                self._count(codes)
                self._latents = latents.detach()
            for i, share in enumerate(self.usage / self.usage.sum(1, keepdim=True).clamp_min(1e-9)):
                losses[f"perplexity_{i}"] = torch.special.entr(share).sum().exp()
        return losses

    def after_step(self, step: int) -> None:
        """Every 50 steps, codes that are hardly used become latents of the last batch, drawn at random."""
        if step % _REVIVE_EVERY != _REVIVE_EVERY - 1 or self._latents is None:
            return
        quantizers = self.codec.quantizer.quantizers
        for i, latents in enumerate(self._latents.chunk(len(quantizers), dim=1)):
            size, dim = quantizers[i].codebook.weight.shape
            dead = (self.usage[i] < _DEAD_BELOW / size).nonzero()[:, 0]
            pool = latents.transpose(1, 2).reshape(-1, dim)
            drawn = pool[torch.randperm(len(pool), device=pool.device)[: len(dead)]]
            dead = dead[: len(drawn)]
            quantizers[i].codebook.weight.data[dead] = drawn
            self.usage[i, dead] = 1.0 / size  # a while to prove themselves

    def _phone_logits(self, codes: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Scores [B, phones, 2 T] of either half of each frame."""
        first = self.codec.quantizer.quantizers[0]
        latent = latents[:, : first.codebook.weight.shape[1]]
        vector = latent + (first.decode_code(codes[:, 0]) - latent).detach()
        scores: torch.Tensor = self.phone_head(vector)
        batch, _, frames = scores.shape
        return scores.reshape(batch, len(PHONES), 2, frames).transpose(2, 3).reshape(batch, len(PHONES), -1)

    def _count(self, codes: torch.Tensor) -> None:
        size = self.usage.shape[1]
        counts = torch.stack([torch.bincount(c.flatten(), minlength=size) for c in codes.unbind(1)])
        share = counts / counts.sum(1, keepdim=True)
        self.usage.mul_(_USAGE_MEMORY).add_(share.to(self.usage), alpha=1 - _USAGE_MEMORY)


class DecoderTrainee(nn.Module):
    """A frame codec whose codes stay as they are while its decoder learns on: all codebooks, no dropout."""

    def __init__(self, codec: FrameCodec, sample_rate: int) -> None:
        super().__init__()
        self.codec = codec
        self.spectral = SpectralLoss(sample_rate)
        for part in (codec.encoder, codec.quantizer):
            part.requires_grad_(False)

    def forward(self, crops: Crops) -> dict[str, torch.Tensor]:
        """The spectral losses."""
        self.codec.quantizer.eval()  # its dropout is for training the codebooks
        with torch.no_grad():
            z = self.codec.encode(crops.audio).z
        return _spectral_losses(self.spectral, self.codec.decode(z), crops.audio)

    def after_step(self, step: int) -> None:
        """Nothing is to do."""


def _spectral_losses(
    loss: SpectralLoss, spoken: torch.Tensor, heard: torch.Tensor
) -> dict[str, torch.Tensor]:
    # dac's output may lack the last few samples
    length = min(spoken.shape[-1], heard.shape[-1])
    losses: dict[str, torch.Tensor] = loss(spoken[..., :length], heard[..., :length])
    return losses
