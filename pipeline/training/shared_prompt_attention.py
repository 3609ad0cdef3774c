"""Attention of a batch of conversations: a target sees its prompt and itself, nothing else.

Registered with transformers under a name of ours, so that the model's own forward runs with it. Each span
is attended to by itself: no masked-out square of all conversations is ever computed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from pipeline.training.collate import Span
from pipeline.training.reading_guide import ReadingGuide

NAME = "voicemill_shared_prompt"


def shared_prompt_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    spans: list[tuple[Span, list[Span]]],
    scaling: float,
    guide: ReadingGuide | None = None,
    dropout: float = 0.0,
    **_kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, H, N, D], key and value [1, H / G, N, D] -> [1, N, H, D], as transformers wants it."""
    groups = module.num_key_value_groups
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    # split, since each slice's gradient would be a tensor of zeros of the whole row's size
    sizes = [b - a for prompt, targets in spans for a, b in (prompt, *targets)]
    parts = zip(*(torch.split(x, sizes, 2) for x in (query, key, value)), strict=True)
    pieces: list[torch.Tensor] = []
    guided = guide is not None and guide.layer == module.layer_idx
    number = 0
    for _prompt, targets in spans:
        q, prompt_k, prompt_v = next(parts)
        pieces.append(
            scaled_dot_product_attention(
                q, prompt_k, prompt_v, dropout_p=dropout, is_causal=True, scale=scaling
            )
        )
        for _target in targets:
            q, k, v = next(parts)
            keys, visible = (
                torch.cat([prompt_k, k], dim=2),
                _causal_after(prompt_k.shape[2], k.shape[2], q.device),
            )
            if guide is not None and guided:
                guide.look(number, q, keys, visible, scaling)
            number += 1
            pieces.append(
                scaled_dot_product_attention(
                    q,
                    keys,
                    torch.cat([prompt_v, v], dim=2),
                    attn_mask=visible,
                    dropout_p=dropout,
                    scale=scaling,
                )
            )
    return torch.cat(pieces, dim=2).transpose(1, 2), None


@lru_cache(maxsize=4096)
def _causal_after(prompt: int, size: int, device: torch.device) -> torch.Tensor:
    """Mask [size, prompt + size]: all of the prompt and what is not later."""
    return torch.ones(size, prompt + size, dtype=torch.bool, device=device).tril(prompt)


AttentionInterface.register(NAME, shared_prompt_attention)
