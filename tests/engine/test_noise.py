from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.noise import gumbel, seed_words

MASK = 2**32 - 1


def murmur3_finalizer(x: int) -> int:
    """`fmix32` of Austin Appleby's MurmurHash3.cpp, in unbounded integers."""
    x ^= x >> 16
    x = x * 0x85EBCA6B & MASK
    x ^= x >> 13
    x = x * 0xC2B2AE35 & MASK
    return x ^ x >> 16


def expected(word: int, frame: int, codebook: int, token: int) -> float:
    key = murmur3_finalizer((word & MASK) ^ (frame * 0x9E3779B1 & MASK))
    key = murmur3_finalizer(key ^ (codebook * 0x27D4EB2F & MASK))
    bits = murmur3_finalizer(key ^ (token * 0x165667B1 & MASK))
    return -math.log(-math.log(((bits >> 8) + 0.5) / 2**24))


@given(
    word=st.integers(-(2**31), 2**31 - 1),
    frame=st.integers(0, 5000),
    codebook=st.integers(0, 11),
    token=st.integers(0, 1025),
)
def test_noise_is_the_hash_of_its_coordinates(word, frame, codebook, token):
    tensors = [torch.tensor([value]) for value in (word, frame, codebook)]
    found = gumbel(*tensors, torch.tensor([[[token]]]))
    assert found.shape == (1, 1, 1)
    assert math.isclose(found.item(), expected(word, frame, codebook, token), rel_tol=1e-4, abs_tol=1e-5)


def test_noise_of_many_is_the_noise_of_each():
    words, frames = torch.tensor([5, -7, 5]), torch.tensor([1, 2, 3])
    codebooks, tokens = torch.arange(8), torch.arange(1026)
    together = gumbel(words, frames, codebooks, tokens[None, None])
    assert together.shape == (3, 8, 1026)
    alone = gumbel(words[1:2], frames[1:2], codebooks[4:5], tokens[None, None, 700:701])
    assert together[1, 4, 700] == alone[0, 0, 0]


def test_noise_is_gumbel_distributed():
    # mean: the Euler-Mascheroni constant, variance: pi^2 / 6; 800,000 draws
    noise = gumbel(torch.arange(100), torch.arange(100), torch.arange(8), torch.arange(1000)[None, None])
    assert abs(noise.mean().item() - 0.5772157) < 0.01
    assert abs(noise.var().item() - math.pi**2 / 6) < 0.02
    # neighbours in any coordinate are independent
    for axis in range(3):
        left, right = (
            noise.narrow(axis, 0, noise.shape[axis] - 1),
            noise.narrow(axis, 1, noise.shape[axis] - 1),
        )
        correlation = torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]
        assert abs(correlation.item()) < 0.01


def test_seeds_give_words_of_their_own():
    words = [seed_words(seed) for seed in range(1000)] + [seed_words(2**63 - 1), seed_words(-1)]
    assert len({word for pair in words for word in pair}) == 2 * len(words)
    assert all(-(2**31) <= word < 2**31 for pair in words for word in pair)
