"""The special tokens of a Higgs Audio v2 checkpoint, by name, and the rule that user text holds none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.engine.prompt_config import PromptConfig
from pipeline.errors import CheckpointError, RowError

# Marks of sound events, as `<SE>[Laughter]</SE>`, are special tokens that users may write.
_SOUND_EVENT_MARKS = frozenset({"<SE>", "</SE>", "<SE_s>", "</SE_s>", "<SE_e>", "</SE_e>"})
_SPECIAL = re.compile(r"<\|[^\s<>|]+\|>")


def contains_special_token(text: str) -> str | None:
    """The first thing in `text` that looks like a control token, such as `<|eot_id|>`, or None."""
    match = _SPECIAL.search(text)
    return match.group() if match else None


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids a prompt is built of. `audio_out` stands for a frame, `delay` for one of the last K - 1."""

    begin_of_text: int
    start_header: int
    end_header: int
    eot: int
    audio_bos: int
    audio_eos: int
    audio: int
    audio_out_bos: int
    audio_out: int
    delay: int
    scene_start: int
    scene_end: int


_NAMES = {
    "begin_of_text": "<|begin_of_text|>",
    "start_header": "<|start_header_id|>",
    "end_header": "<|end_header_id|>",
    "eot": "<|eot_id|>",
    "audio_bos": "<|audio_bos|>",
    "audio_eos": "<|audio_eos|>",
    "audio": "<|AUDIO|>",
    "audio_out_bos": "<|audio_out_bos|>",
    "audio_out": "<|AUDIO_OUT|>",
    "scene_start": "<|scene_desc_start|>",
    "scene_end": "<|scene_desc_end|>",
}


def special_ids(tokenizer: Any, config: PromptConfig, checkpoint_id: str) -> SpecialIds:
    """Ids by a tokenizer and a config. Raises CheckpointError where the two disagree."""
    ids = {field: tokenizer.token_to_id(name) for field, name in _NAMES.items()}
    for field, token_id in ids.items():
        if token_id is None:
            raise CheckpointError(f"{checkpoint_id}: the tokenizer lacks {_NAMES[field]}")
    # which reserved token stands for the delay differs between tokenizers; only the config says it
    ids["delay"] = config.audio_delay_token_id
    for field, in_config in (
        ("audio_out", config.audio_token_id),
        ("audio_out_bos", config.audio_bos_token_id),
    ):
        if ids[field] != in_config:
            raise CheckpointError(
                f"{checkpoint_id}: {_NAMES[field]} is {ids[field]} in the tokenizer but {in_config} in "
                "config.json: the two are not of one checkpoint"
            )
    return SpecialIds(**ids)


def encode_user_text(tokenizer: Any, text: str, around: tuple[str, str] = ("", "")) -> list[int]:
    """Ids of our `around[0]`, a user's text and our `around[1]`, tokenised as one piece.

    Raises RowError `text_has_special_token`: by its looks, or because this tokenizer makes one of it.
    """
    found = contains_special_token(text)
    if found is None:
        ids: list[int] = tokenizer.encode(around[0] + text + around[1], add_special_tokens=False).ids
        added = tokenizer.get_added_tokens_decoder()
        found = next(
            (
                token.content
                for token in map(added.get, ids)
                if token is not None and token.special and token.content not in _SOUND_EVENT_MARKS
            ),
            None,
        )
    if found is not None:
        raise RowError("text_has_special_token", f"the text holds the control token {found}: remove it")
    return ids
