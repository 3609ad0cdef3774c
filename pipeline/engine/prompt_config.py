"""What prompting reads of a checkpoint's config.json, without transformers: its class takes 6 s to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pipeline.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """The fields of transformers' `HiggsAudioV2Config` with what it takes where a file leaves them out."""

    num_codebooks: int = 8
    max_position_embeddings: int = 2048
    audio_token_id: int = 128016
    audio_bos_token_id: int = 128013
    audio_delay_token_id: int = 128014
    audio_stream_bos_id: int = 1024
    audio_stream_eos_id: int = 1025

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], checkpoint_id: str) -> PromptConfig:
        """Raises CheckpointError for another architecture, and for what is no positive whole number."""
        if raw.get("model_type") != "higgs_audio_v2":
            raise CheckpointError(
                f"{checkpoint_id}: model_type is {raw.get('model_type')!r}, not 'higgs_audio_v2': original "
                "checkpoints must be converted to transformers' format first"
            )
        given = {each.name: raw[each.name] for each in fields(cls) if each.name in raw}
        for name, value in given.items():
            if type(value) is not int or value < 1:
                raise CheckpointError(f"{checkpoint_id}: config.json has {name} = {value!r}")
        return cls(**given)
