"""Residual vector quantisation as in descript-audio-codec, in plain torch.

The same arithmetic as `dac.nn.quantize.ResidualVectorQuantize` (a test holds them together) without its
weight normalisation, and without needing that package to run a codec. A codebook of low dimension is
searched by cosine, its gradient goes straight through; each next codebook quantises what is left.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Quantized(NamedTuple):
    """z [B, D, T], codes [B, K, T] int64, latents [B, K * d, T] before quantising, two scalar losses."""

    z: torch.Tensor
    codes: torch.Tensor
    latents: torch.Tensor
    commitment_loss: torch.Tensor
    codebook_loss: torch.Tensor


class VectorQuantizer(nn.Module):
    """One codebook of `codebook_size` vectors of `codebook_dim`, between two projections."""

    def __init__(self, input_dim: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Conv1d(input_dim, codebook_dim, 1)
        self.out_proj = nn.Conv1d(codebook_dim, input_dim, 1)
        self.codebook = nn.Embedding(codebook_size, codebook_dim)

    def nearest(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [B, d, T] as the codes [B, T] of largest cosine."""
        codebook = functional.normalize(self.codebook.weight)
        # the length of a latent does not change which cosine is largest
        return (latents.transpose(1, 2) @ codebook.t()).argmax(dim=-1)

    def decode_code(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes [B, T] as codebook vectors [B, d, T]."""
        vectors: torch.Tensor = self.codebook(codes)
        return vectors.transpose(1, 2)


class ResidualQuantizer(nn.Module):
    """K codebooks in a row. Names of modules and methods are dac's, so that one trainer serves both."""

    def __init__(
        self,
        input_dim: int,
        n_codebooks: int,
        codebook_size: int,
        codebook_dim: int,
        quantizer_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(
            VectorQuantizer(input_dim, codebook_size, codebook_dim) for _ in range(n_codebooks)
        )
        self.quantizer_dropout = quantizer_dropout

    def forward(self, z: torch.Tensor) -> Quantized:
        """Quantise z [B, D, T]. In training, `quantizer_dropout` of the clips use only the first n
        codebooks, n drawn from 1..K: the first is never dropped."""
        used = self._used(z.shape[0], z.device)
        z_q, residual = torch.zeros_like(z), z
        codes, latents = [], []
        commitment, codebook = z.new_zeros(()), z.new_zeros(())
        for i, quantizer in enumerate(self.quantizers):
            assert isinstance(quantizer, VectorQuantizer)
            latent = quantizer.in_proj(residual)
            code = quantizer.nearest(latent)
            vector = quantizer.decode_code(code)
            mask = (i < used).to(z.dtype)
            commitment = commitment + ((latent - vector.detach()).square().mean((1, 2)) * mask).mean()
            codebook = codebook + ((vector - latent.detach()).square().mean((1, 2)) * mask).mean()
            step = quantizer.out_proj(latent + (vector - latent).detach())
            z_q = z_q + step * mask[:, None, None]
            residual = residual - step
            codes.append(code)
            latents.append(latent)
        return Quantized(z_q, torch.stack(codes, 1), torch.cat(latents, 1), commitment, codebook)

    def from_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T] of the first k codebooks as z [B, D, T]."""
        parts = []
        for i in range(codes.shape[1]):
            quantizer = self.quantizers[i]
            assert isinstance(quantizer, VectorQuantizer)
            parts.append(quantizer.out_proj(quantizer.decode_code(codes[:, i])))
        return torch.stack(parts).sum(0)

    def _used(self, batch: int, device: torch.device) -> torch.Tensor:
        count = len(self.quantizers)
        used = torch.full((batch,), count, device=device)
        if self.training and self.quantizer_dropout:
            few = int(batch * self.quantizer_dropout)
            used[:few] = torch.randint(1, count + 1, (few,), device=device)
        return used
