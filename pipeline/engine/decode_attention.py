"""A decoding step's attention for CUDA, in Triton: one program per slot and kv head reads its keys once.

FlashAttention's kernels are made for many queries; here each slot has one, of a few heads. The heads that
share keys are the rows of one small matrix product (grouped-query attention), the softmax is running
(Milakov & Gimelshein 2018, arXiv:1805.02867), and no slot's sums are split: what it sees does not depend on
the others.
"""

from __future__ import annotations

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]

_BLOCK = 64  # positions that are read at once
_ROWS = 16  # the least that tensor cores take; more query heads to a kv head do not go


class DecodeAttention:
    """See `attention.Attention`; float16 and bfloat16, head_dim a power of two."""

    def reach(self, positions: torch.Tensor, span: int) -> torch.Tensor:
        return (positions + 1).to(torch.int32)

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: torch.Tensor
    ) -> torch.Tensor:
        slots, heads, head_dim = queries.shape
        num_kv_heads = keys.shape[2]
        queries = queries.contiguous()
        attended = torch.empty_like(queries)
        _attend[(slots, num_kv_heads)](
            queries,
            keys,
            values,
            attended,
            reach,
            head_dim**-0.5,
            keys.stride(0),
            keys.stride(1),
            kv_heads=num_kv_heads,
            group=heads // num_kv_heads,
            head_dim=head_dim,
            block=_BLOCK,
            rows=_ROWS,
            num_warps=4,
            num_stages=3,
        )
        return attended.reshape(slots, -1)


def takes(heads: tuple[int, int, int]) -> bool:
    """Whether the kernel is made for these (query heads, kv heads, head_dim)."""
    num_heads, num_kv_heads, head_dim = heads
    return num_heads // num_kv_heads <= _ROWS and head_dim >= 16 and head_dim & (head_dim - 1) == 0


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    queries,
    keys,
    values,
    attended,
    lengths,
    scale,
    slot_stride,
    position_stride,
    kv_heads: tl.constexpr,
    group: tl.constexpr,
    head_dim: tl.constexpr,
    block: tl.constexpr,
    rows: tl.constexpr,
):
    """Of one slot and kv head; queries and attended lie as [S, kv_heads * group, head_dim]."""
    slot, kv_head = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths + slot)
    row, column = tl.arange(0, rows), tl.arange(0, head_dim)
    is_query = row[:, None] < group
    place = (slot * kv_heads * group + kv_head * group + row[:, None]) * head_dim + column[None, :]
    query = tl.load(queries + place, mask=is_query, other=0.0)
    first = slot.to(tl.int64) * slot_stride + kv_head * head_dim
    highest = tl.full([rows], float("-inf"), tl.float32)
    total = tl.zeros([rows], tl.float32)
    mixed = tl.zeros([rows, head_dim], tl.float32)
    for start in range(0, length, block):
        position = start + tl.arange(0, block)
        is_there = position < length
        at = first + position[:, None].to(tl.int64) * position_stride + column[None, :]
        key = tl.load(keys + at, mask=is_there[:, None], other=0.0)
        score = tl.where(is_there[None, :], tl.dot(query, tl.trans(key)) * scale, float("-inf"))
        higher = tl.maximum(highest, tl.max(score, 1))
        weight = tl.exp(score - higher[:, None])
        shrink = tl.exp(highest - higher)
        total = total * shrink + tl.sum(weight, 1)
        value = tl.load(values + at, mask=is_there[:, None], other=0.0)
        mixed = mixed * shrink[:, None] + tl.dot(weight.to(value.dtype), value)
        highest = higher
    mixed = mixed / total[:, None]
    tl.store(attended + place, mixed.to(attended.dtype.element_ty), mask=is_query)
