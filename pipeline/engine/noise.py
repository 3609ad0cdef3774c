"""Random numbers without a generator: a hash of (row seed, frame, codebook, token id).

A token's noise depends on nothing else, so a row draws the same codes alone, in any order and with any mates.
32-bit words in int32 tensors, whose products wrap; the mixing step is the finaliser of MurmurHash3.
"""

from __future__ import annotations

import hashlib

import torch

_FIRST = 0x85EBCA6B - 2**32
_SECOND = 0xC2B2AE35 - 2**32
_FRAME, _CODEBOOK, _TOKEN = 0x9E3779B1 - 2**32, 0x27D4EB2F, 0x165667B1  # odd, so that no ids collide


def seed_words(seed: int) -> tuple[int, int]:
    """Two int32 words of a row's seed (any integer): one for drawing, one for drawing again (RAS)."""
    digest = hashlib.sha256(str(seed).encode()).digest()
    first, again = (int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4))
    return first, again


def gumbel(
    words: torch.Tensor, frames: torch.Tensor, codebooks: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Standard Gumbel noise of `words` [S], `frames` [S], `codebooks` [K], `tokens` [S or 1, K or 1, N].

    All integer tensors; the result is float32 [S, K, N]. The argmax of logits plus this noise is a draw
    from their softmax.
    """
    key = _mixed(words.to(torch.int32) ^ (frames.to(torch.int32) * _FRAME))
    key = _mixed(key[:, None] ^ (codebooks.to(torch.int32) * _CODEBOOK))
    bits = _mixed(key[:, :, None] ^ (tokens.to(torch.int32) * _TOKEN))
    # 24 bits, all that a float32 holds, and never 0 or 1
    uniform = (((bits >> 8) & 0xFFFFFF).float() + 0.5) * 2.0**-24
    return -torch.log(-torch.log(uniform))


def _mixed(x: torch.Tensor) -> torch.Tensor:
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * _FIRST
    x = x ^ ((x >> 13) & 0x7FFFF)
    x = x * _SECOND
    return x ^ ((x >> 16) & 0xFFFF)
