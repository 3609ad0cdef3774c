"""The frame-rate codec's network: log-mel in, ConvNeXt blocks, an inverse STFT out.

No layer works at the sample rate, which is what makes it cheap: mel frames at 100 Hz, a strided
convolution to the code rate, residual quantisation there, up again to 100 Hz, and a head that gives
each frame's magnitudes and phases, as in Vocos (Siuzdak 2023, arXiv:2306.00814).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torchaudio.functional import melscale_fbanks

from pipeline.codecs.frame_config import FrameCodecConfig
from pipeline.codecs.residual_quantizer import Quantized, ResidualQuantizer


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then a two-layer perceptron per frame; [B, C, T] to [B, C, T]."""

    def __init__(self, dim: int, kernel_size: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, expansion * dim)
        self.down = nn.Linear(expansion * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.depthwise(x).transpose(1, 2).contiguous())
        y = self.down(functional.gelu(self.up(y))) * self.scale
        return x + y.transpose(1, 2).contiguous()


class LogMel(nn.Module):
    """Samples [B, 1, T * hop] as log-mel frames [B, n_mels, T], each centred on its hop."""

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.n_fft, self.hop = config.n_fft, config.mel_hop
        filters = melscale_fbanks(
            config.n_fft // 2 + 1,
            f_min=0.0,
            f_max=config.sample_rate / 2,
            n_mels=config.n_mels,
            sample_rate=config.sample_rate,
            norm="slaney",
        )
        # made from the config each time, so not among the weights
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        margin = self.n_fft - self.hop
        padded = functional.pad(audio[:, 0].float(), (margin // 2, margin - margin // 2))
        frames = padded.unfold(-1, self.n_fft, self.hop) * self.window.float()
        mel: torch.Tensor = torch.fft.rfft(frames).abs() @ self.filters.float()
        # about zero mean and unit variance on speech
        return ((mel.clamp_min(1e-5).log() + 3.0) / 3.0).transpose(1, 2).to(audio.dtype)


class InverseStft(nn.Module):
    """Features [B, C, T] as samples [B, 1, T * hop]: a magnitude and a phase per bin, overlap-added."""

    window: torch.Tensor

    def __init__(self, dim: int, hop: int) -> None:
        super().__init__()
        self.hop, self.overlap = hop, 4
        self.n_fft = hop * self.overlap
        self.project = nn.Linear(dim, self.n_fft + 2)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        log_magnitude, phase = self.project(features.transpose(1, 2)).float().chunk(2, dim=-1)
        spectrum = torch.polar(log_magnitude.clamp_max(5.0).exp(), phase)
        window = self.window.float()
        frames = torch.fft.irfft(spectrum, n=self.n_fft) * window
        envelope = self._added(window.square().expand(1, frames.shape[1], -1))
        # only the first and last samples, which are cut off below, lie under no window
        audio = self._added(frames) / envelope.clamp_min(1e-3)
        cut = (self.n_fft - self.hop) // 2
        return audio[:, None, cut : cut + frames.shape[1] * self.hop].to(features.dtype)

    def _added(self, frames: torch.Tensor) -> torch.Tensor:
        """Windowed frames [B, T, n_fft] summed where they overlap: [B, (T + 3) * hop]."""
        batch, count, _ = frames.shape
        parts = frames.reshape(batch, count, self.overlap, self.hop)
        shifted = [
            functional.pad(parts[:, :, i], (0, 0, i, self.overlap - 1 - i)) for i in range(self.overlap)
        ]
        return torch.stack(shifted).sum(0).reshape(batch, -1)


class FrameCodec(nn.Module):
    """The whole network. `encode` and `decode` have the shapes of `dac.DAC`'s, so the trainer is one."""

    def __init__(self, config: FrameCodecConfig) -> None:
        super().__init__()
        self.config = config
        fast, slow = config.encoder_blocks
        self.features = LogMel(config)
        self.encoder = nn.Sequential(
            nn.Conv1d(config.n_mels, config.encoder_dim, 7, padding=3),
            *_blocks(fast, config.encoder_dim, 7, config),
            nn.Conv1d(config.encoder_dim, config.latent_dim, config.stride, config.stride),
            *_blocks(slow, config.latent_dim, 5, config),
        )
        self.quantizer = ResidualQuantizer(
            config.latent_dim,
            config.n_codebooks,
            config.codebook_size,
            config.codebook_dim,
            config.quantizer_dropout,
        )
        fast, slow = config.decoder_blocks
        self.decoder = nn.Sequential(
            *_blocks(slow, config.latent_dim, 5, config),
            nn.ConvTranspose1d(config.latent_dim, config.decoder_dim, config.stride, config.stride),
            *_blocks(fast, config.decoder_dim, 7, config),
            _ChannelNorm(config.decoder_dim),
        )
        self.head = InverseStft(config.decoder_dim, config.mel_hop)

    def encode(self, audio: torch.Tensor) -> Quantized:
        """Audio [B, 1, T * hop_length] as z [B, D, T], codes [B, K, T], latents and losses."""
        quantized: Quantized = self.quantizer(self.encoder(self.features(audio)))
        return quantized

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, D, T] as audio [B, 1, T * hop_length]."""
        audio: torch.Tensor = self.head(self.decoder(z))
        return audio


class _ChannelNorm(nn.LayerNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def _blocks(count: int, dim: int, kernel_size: int, config: FrameCodecConfig) -> list[nn.Module]:
    return [ConvNeXtBlock(dim, kernel_size, config.expansion) for _ in range(count)]
