"""How the slots of a decoding step look back at their keys and values.

Keys and values are [slots, positions, kv_heads, head_dim]; slot i looks at positions 0 to `positions[i]`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

log = logging.getLogger(__name__)
_AGREEMENT = 2e-2  # bfloat16 attention of two kernels over unit-variance inputs
# torch's CPU kernel works through keys in blocks of 512: with whole blocks, what a slot computes cannot
# depend on how far the longest of the others reaches
_KERNEL_BLOCK = 512
_FINE_BLOCK = 64


class Attention(Protocol):
    def reach(self, positions: torch.Tensor, span: int) -> torch.Tensor:
        """What the layers of one step share; `span` bounds the positions."""
        ...

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: torch.Tensor
    ) -> torch.Tensor:
        """Queries [S, heads, head_dim] over the first S slots, as [S, heads * head_dim]."""
        ...


class MaskedAttention:
    """torch's SDPA under a mask: reads every position up to the span. Runs anywhere."""

    def reach(self, positions: torch.Tensor, span: int) -> torch.Tensor:
        places = torch.arange(span, device=positions.device)
        return (places <= positions[:, None])[:, None, None]

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: torch.Tensor
    ) -> torch.Tensor:
        slots, span = reach.shape[0], reach.shape[-1]
        num_kv_heads, head_dim = keys.shape[2:]
        # the query heads of a kv head are its queries: no repeated keys
        attended = scaled_dot_product_attention(
            queries.view(slots, num_kv_heads, -1, head_dim),
            keys[:slots, :span].transpose(1, 2),
            values[:slots, :span].transpose(1, 2),
            attn_mask=reach,
        )
        return attended.reshape(slots, -1)


class FlashAttention:
    """FlashAttention's variable-length kernel, for CUDA and half precision: reads only what a slot has.

    torch 2.11 offers `seqused_k` on the ATen operator alone.
    """

    def reach(self, positions: torch.Tensor, span: int) -> torch.Tensor:
        return (positions + 1).to(torch.int32)

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: torch.Tensor
    ) -> torch.Tensor:
        slots, capacity = len(reach), keys.shape[1]
        starts = torch.arange(slots + 1, device=reach.device, dtype=torch.int32)
        attended: torch.Tensor = torch.ops.aten._flash_attention_forward(
            queries.contiguous(),
            keys[:slots].flatten(0, 1),
            values[:slots].flatten(0, 1),
            starts,
            starts * capacity,
            1,
            capacity,
            0.0,
            False,
            False,
            seqused_k=reach,
        )[0]
        return attended.reshape(slots, -1)


def choose_attention(device: torch.device, dtype: torch.dtype, heads: tuple[int, int, int]) -> Attention:
    """The fastest way that runs here and agrees with SDPA on ragged slots, else SDPA.

    `heads` is (query heads, kv heads, head_dim). Nothing is timed: one kind of GPU always has the same.
    """
    masked = MaskedAttention()
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return masked
    num_heads, num_kv_heads, head_dim = heads
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=dtype, generator=generator)

    slots, capacity = 5, 256
    positions = torch.tensor([0, 1, 100, 127, 255], device=device)
    queries = random(slots, num_heads, head_dim)
    keys, values = (random(slots + 1, capacity, num_kv_heads, head_dim) for _ in range(2))
    expected = masked.attend(queries, keys, values, masked.reach(positions, capacity))
    for way in _fast_ways(heads):
        name = type(way).__name__
        try:
            found = way.attend(queries, keys, values, way.reach(positions, capacity))
            difference = float((found - expected).abs().max())
        except Exception as error:  # Triton's are of no common kind, and it calls a C compiler
            log.warning("%s is not to be had here (%s)", name, " ".join(str(error).split())[:200])
            continue
        if difference <= _AGREEMENT:
            return way
        log.warning("%s differs from SDPA by %.3g", name, difference)
    log.warning("attention reads whole slots")
    return masked


def _fast_ways(heads: tuple[int, int, int]) -> Iterator[Attention]:
    try:
        from pipeline.engine.decode_attention import DecodeAttention, takes
    except ImportError as error:  # Triton comes with torch's CUDA builds for Linux
        log.warning("no Triton here: %s", error)
    else:
        if takes(heads):
            yield DecodeAttention()
    yield FlashAttention()


def span_block(num_slots: int, num_kv_heads: int, group: int, head_dim: int, dtype: torch.dtype) -> int:
    """What the spans of a CPU's steps are multiples of, so that none changes a bit of what a slot sees.

    The smaller the less is read in vain. Whether less than the kernel's own block will do rests with the
    machine's matrix products, so it is tried out.
    """
    generator = torch.Generator().manual_seed(0)
    masked, capacity = MaskedAttention(), 2 * _KERNEL_BLOCK
    queries = torch.randn(num_slots, num_kv_heads * group, head_dim, generator=generator).to(dtype)
    keys, values = (
        torch.randn(num_slots, capacity, num_kv_heads, head_dim, generator=generator).to(dtype)
        for _ in range(2)
    )

    def changes_nothing(span: int) -> bool:
        # one slot looks back on the whole span, the others on less of it, each on another part
        positions = (span - 1 - torch.arange(num_slots) * 37) % span
        near, far = (
            masked.attend(queries, keys, values, masked.reach(positions, reach)) for reach in (span, capacity)
        )
        return torch.equal(near, far)

    fine = all(changes_nothing(span) for span in range(_FINE_BLOCK, capacity, _FINE_BLOCK))
    return _FINE_BLOCK if fine else _KERNEL_BLOCK
