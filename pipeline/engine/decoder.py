"""The forward pass over slots: prefill writes keys and values only, a decoding step gives logits.

The arithmetic is that of transformers' `HiggsAudioV2Model`; what differs is what it is fed. Keys and values
lie in static tensors [layers, slots, positions, kv_heads, head_dim], row i for slot i, and a position is
written before anything attends to it, so that what an earlier row left there is never read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu

from pipeline.engine.attention import Attention
from pipeline.engine.weights import Branch, Weights


class KV(NamedTuple):
    """Keys and values, each [layers, slots, positions, kv_heads, head_dim]."""

    keys: torch.Tensor
    values: torch.Tensor

    @classmethod
    def empty(cls, weights: Weights, slots: int, positions: int) -> KV:
        shape = (len(weights.layers), slots, positions, weights.num_kv_heads, weights.head_dim)
        # zeros, not empty: a masked position counts 0 times its value, and 0 times NaN is NaN
        return cls(*(torch.zeros(shape, dtype=weights.dtype, device=weights.device) for _ in range(2)))

    @property
    def num_bytes(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()


def embed_frames(weights: Weights, frames: torch.Tensor) -> torch.Tensor:
    """Frames [..., K] of the delayed stream as embeddings [..., hidden]: the codebooks' are summed."""
    offsets = torch.arange(weights.num_codebooks, device=frames.device) * weights.codebook_size
    return embedding(frames + offsets, weights.audio_embedding).sum(dim=-2)


def decode(
    weights: Weights,
    kv: KV,
    frames: torch.Tensor,
    positions: torch.Tensor,
    attention: Attention,
    span: int,
) -> torch.Tensor:
    """One step of every slot: the frames [S, K] said last, at `positions` [S], give logits [S, K, V] float32.

    Writes keys and values at `positions`, which are below `span`. Every position is an audio position: the
    text branch is not touched.
    """
    rows = torch.arange(len(frames), device=frames.device)
    cos, sin = (table[positions][:, None] for table in weights.rope)
    reach = attention.reach(positions, span)
    x = embed_frames(weights, frames)
    for index, layer in enumerate(weights.layers):
        normed = rms_norm(x, x.shape[-1:], layer.audio.attention_norm, weights.eps)
        q, k, v = _heads(weights, linear(normed, layer.qkv), cos, sin)
        keys, values = kv.keys[index], kv.values[index]
        keys[rows, positions] = k
        values[rows, positions] = v
        x = x + linear(attention.attend(q, keys, values, reach), layer.out)
        x = x + _feed_forward(weights, layer.audio, x)
    x = rms_norm(x, x.shape[-1:], weights.norm, weights.eps)
    return linear(x, weights.head).float().view(len(frames), weights.num_codebooks, weights.codebook_size)


def prefill(
    weights: Weights,
    kv: KV,
    slots: torch.Tensor,
    starts: torch.Tensor,
    embedded: torch.Tensor,
    mixed: tuple[torch.Tensor, torch.Tensor] | None = None,
    *,
    span: int,
) -> None:
    """Write the keys and values of `embedded` [R, L, hidden] into `slots` [R] from positions `starts` [R].

    `mixed` are the flat indices (into R * L) of the audio positions, which take the audio branch, and of the
    text positions; None where all are text. To find them here would ask the device. What a slot holds before
    its start is attended to. `span` bounds the positions that are read.
    """
    num_rows, length, hidden = embedded.shape
    positions = starts[:, None] + torch.arange(length, device=starts.device)
    positions = positions.clamp(max=kv.keys.shape[2] - 1)  # of padding past the end of a slot
    cos, sin = (table[positions][:, :, None] for table in weights.rope)
    mask = torch.arange(span, device=starts.device) <= positions[:, None, :, None]
    x = embedded
    is_audio = torch.zeros(num_rows * length, dtype=torch.bool, device=embedded.device)
    if mixed is not None:
        is_audio.index_fill_(0, mixed[0], value=True)
    is_audio_row = is_audio.view(num_rows, length, 1)
    for index, layer in enumerate(weights.layers):
        scale = torch.where(is_audio_row, layer.audio.attention_norm, layer.text.attention_norm)
        normed = rms_norm(x, (hidden,), eps=weights.eps) * scale
        q, k, v = _heads(weights, linear(normed, layer.qkv), cos, sin)
        keys, values = kv.keys[index], kv.values[index]
        keys[slots[:, None], positions] = k
        values[slots[:, None], positions] = v
        if index == len(weights.layers) - 1:
            return  # nothing reads what the last layer makes of a prompt
        group = q.shape[2] // weights.num_kv_heads
        attended = scaled_dot_product_attention(
            q.transpose(1, 2),
            keys[slots, :span].transpose(1, 2).repeat_interleave(group, dim=1),
            values[slots, :span].transpose(1, 2).repeat_interleave(group, dim=1),
            attn_mask=mask,
        )
        x = x + linear(attended.transpose(1, 2).reshape(num_rows, length, -1), layer.out)
        flat = x.reshape(-1, hidden)
        if mixed is None:
            x = (flat + _feed_forward(weights, layer.text, flat)).view_as(x)
            continue
        audio, text = mixed
        said = _feed_forward(weights, layer.audio, flat[audio])
        read = _feed_forward(weights, layer.text, flat[text])
        x = flat.index_add(0, audio, said).index_add(0, text, read).view_as(x)


def _heads(
    weights: Weights, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[..., (heads + 2 kv_heads) * head_dim] as queries, keys and values [..., n, head_dim], RoPE applied."""
    heads = qkv.view(*qkv.shape[:-1], -1, weights.head_dim)
    num_kv = weights.num_kv_heads
    turned = heads[..., :-num_kv, :]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
    return turned[..., :-num_kv, :], turned[..., -num_kv:, :], heads[..., -num_kv:, :]


def _feed_forward(weights: Weights, branch: Branch, x: torch.Tensor) -> torch.Tensor:
    gate, up = linear(rms_norm(x, x.shape[-1:], branch.norm, weights.eps), branch.gate_up).chunk(2, dim=-1)
    return linear(silu(gate) * up, branch.down)
