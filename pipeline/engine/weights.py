"""The weights of a loaded Higgs Audio model, borrowed: fused for larger products, in memory once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import CheckpointError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Branch:
    """One of a layer's two feed-forward paths, with the norms before attention and before the path."""

    attention_norm: torch.Tensor  # [hidden]
    norm: torch.Tensor  # [hidden]
    gate_up: torch.Tensor  # [2 * intermediate, hidden]
    down: torch.Tensor  # [hidden, intermediate]


@dataclass(frozen=True, slots=True)
class Layer:
    qkv: torch.Tensor  # [(heads + 2 * kv_heads) * head_dim, hidden]
    out: torch.Tensor  # [hidden, heads * head_dim]
    text: Branch
    audio: Branch


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that prefill and decoding read. `rope` is (cos, sin), each [max_positions, head_dim]."""

    layers: tuple[Layer, ...]
    text_embedding: torch.Tensor  # [vocab, hidden]
    audio_embedding: torch.Tensor  # [num_codebooks * codebook_size, hidden]
    norm: torch.Tensor  # [hidden]
    head: torch.Tensor  # [num_codebooks * codebook_size, hidden]
    rope: tuple[torch.Tensor, torch.Tensor]
    num_codebooks: int
    codebook_size: int  # with BOS and EOS of the stream
    num_kv_heads: int
    head_dim: int
    eps: float

    @property
    def num_heads(self) -> int:
        return self.layers[0].out.shape[1] // self.head_dim

    @property
    def device(self) -> torch.device:
        return self.head.device

    @property
    def dtype(self) -> torch.dtype:
        return self.head.dtype


def borrow_weights(model: Any, checkpoint_id: str, max_positions: int) -> Weights:
    """The weights of a `HiggsAudioV2ForConditionalGeneration`, whose own parameters become views of them.

    `max_positions` is the length of the RoPE tables. Raises CheckpointError for a variant of the
    architecture that the engine does not compute.
    """
    import torch

    config = model.config
    if config.attention_bias or config.mlp_bias or config.hidden_act != "silu":
        raise CheckpointError(
            f"{checkpoint_id}: the engine computes layers without biases and with silu, this model has "
            f"attention_bias={config.attention_bias}, mlp_bias={config.mlp_bias}, {config.hidden_act}"
        )
    with torch.no_grad():
        positions = torch.arange(max_positions, device=model.device)[None]
        cos, sin = model.model.rotary_emb(model.audio_lm_head.weight, positions)
        return Weights(
            layers=tuple(_layer(layer) for layer in model.model.layers),
            text_embedding=model.model.embed_tokens.weight.detach(),
            audio_embedding=model.model.embed_audio_tokens.embed_audio_tokens.weight.detach(),
            norm=model.model.norm.weight.detach(),
            head=model.audio_lm_head.weight.detach(),
            rope=(cos[0].contiguous(), sin[0].contiguous()),
            num_codebooks=config.num_codebooks,
            codebook_size=config.codebook_size,
            num_kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            eps=config.rms_norm_eps,
        )


def _layer(layer: Any) -> Layer:
    attention = layer.self_attn
    return Layer(
        qkv=_fused(attention.q_proj, attention.k_proj, attention.v_proj),
        out=attention.o_proj.weight.detach(),
        text=_branch(layer.input_layernorm, layer.post_attention_layernorm, layer.mlp),
        audio=_branch(layer.audio_input_layernorm, layer.audio_post_attention_layernorm, layer.audio_mlp),
    )


def _branch(attention_norm: Any, norm: Any, mlp: Any) -> Branch:
    return Branch(
        attention_norm=attention_norm.weight.detach(),
        norm=norm.weight.detach(),
        gate_up=_fused(mlp.gate_proj, mlp.up_proj),
        down=mlp.down_proj.weight.detach(),
    )


def _fused(*linears: Any) -> torch.Tensor:
    """The weights one above the other in one tensor, of which the modules' own become views."""
    import torch

    weights = [linear.weight.detach() for linear in linears]
    if (joined := _already_joined(weights)) is not None:
        return joined
    fused = torch.cat(weights)
    parts = torch.split(fused, [len(weight) for weight in weights])
    for linear, part in zip(linears, parts, strict=True):
        linear.weight.data = part
    return fused


def _already_joined(weights: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """The tensor that `weights` are views of, if an engine before this one has fused them."""
    first = weights[0]
    end = first.data_ptr()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or weight.data_ptr() != end or not weight.is_contiguous():
            return None
        end += weight.numel() * weight.element_size()
    rows = sum(len(weight) for weight in weights)
    return first.as_strided((rows, first.shape[1]), (first.shape[1], 1))
