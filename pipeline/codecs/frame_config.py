"""The frame-rate codec's sizes, apart from its network: a driver reads them, and torch is slow to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameCodecConfig:
    """Sizes of the network. Blocks: (at 100 Hz, at the code rate) for either side."""

    sample_rate: int = 24_000
    mel_hop: int = 240
    stride: int = 4  # mel frames per code frame
    n_fft: int = 1024
    n_mels: int = 100
    encoder_dim: int = 128
    encoder_blocks: tuple[int, int] = (2, 3)
    latent_dim: int = 320
    decoder_dim: int = 256
    decoder_blocks: tuple[int, int] = (4, 2)
    expansion: int = 3
    n_codebooks: int = 8
    codebook_size: int = 1024
    codebook_dim: int = 8
    quantizer_dropout: float = 0.5

    @property
    def hop_length(self) -> int:
        return self.mel_hop * self.stride
