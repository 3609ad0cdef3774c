"""The backbone's forward for training: text and audio positions each in one piece.

transformers' forward gathers and scatters by boolean masks in every layer, a quarter of a training step
on a CPU. Here all text positions come first and all audio positions after them; only attention needs the
conversations' order. The modules and weights are transformers' own, and so are the results.
"""

from __future__ import annotations

from typing import Any

import torch

from pipeline.training.collate import Batch
from pipeline.training.reading_guide import ReadingGuide


def hidden_states(
    backbone: Any, batch: Batch, guide: ReadingGuide | None = None, tap: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states [N, H] of a `HiggsAudioV2Model`, in the batch's order: the last, and layer `tap`'s."""
    config, ids = backbone.config, batch.input_ids[0]
    speaks = (ids == config.audio_token_id) | (ids == config.audio_delay_token_id)
    text_at, audio_at = (~speaks).nonzero()[:, 0], speaks.nonzero()[:, 0]
    order = torch.cat([text_at, audio_at])
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    sizes = [len(text_at), len(audio_at)]
    text = backbone.embed_tokens(ids[text_at][None])[0]
    hidden = torch.cat([text, backbone.embed_audio_tokens(batch.audio_input_ids)[0]])
    rotary = backbone.rotary_emb(hidden, batch.position_ids)
    tapped = hidden
    for i, layer in enumerate(backbone.layers):
        text, audio = torch.split(hidden, sizes)
        normed = torch.cat([layer.input_layernorm(text), layer.audio_input_layernorm(audio)])
        attended, _ = layer.self_attn(
            normed.index_select(0, back)[None], position_embeddings=rotary, spans=batch.spans, guide=guide
        )
        hidden = hidden + attended[0].index_select(0, order)
        text, audio = torch.split(hidden, sizes)
        text = layer.mlp(layer.post_attention_layernorm(text))
        audio = layer.audio_mlp(layer.audio_post_attention_layernorm(audio))
        hidden = hidden + torch.cat([text, audio])
        tapped = hidden if i == tap else tapped
    normed = torch.as_tensor(backbone.norm(hidden))
    return normed.index_select(0, back), tapped.index_select(0, back)
