"""A reference's codes, taken from it or exchanged, with the prompt's placeholders as they then are.

Where every reference is given by its codes and by its semantic features, a model can learn the voice from
the codes alone. Dropping the codes of some training conversations leaves the features as the only way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.codecs.base import Codes
from pipeline.engine.special_tokens import SpecialIds
from pipeline.training.collate import Conversation


def ids_with_codes(ids: npt.NDArray[Any], codes: Codes, special: SpecialIds) -> npt.NDArray[Any]:
    """Prompt ids [L] of one spoken clip as if that clip had `codes` [K, T]."""
    at = np.flatnonzero(np.isin(ids, [special.audio_out, special.delay]))
    num_codebooks, num_frames = codes.shape
    clip = [special.audio_out] * (num_frames + 2) + [special.delay] * (num_codebooks - 1)
    return np.concatenate([ids[: at[0]], np.asarray(clip, ids.dtype), ids[at[-1] + 1 :]])


def drop_codes(
    conversations: Sequence[Conversation], special: SpecialIds, share: float, rng: np.random.Generator
) -> list[Conversation]:
    """`conversations`, each with a chance of `share` that its one reference is left without frames."""
    dropped = rng.random(len(conversations)) < share
    return [
        _without_codes(conversation, special) if drop else conversation
        for conversation, drop in zip(conversations, dropped, strict=True)
    ]


def _without_codes(conversation: Conversation, special: SpecialIds) -> Conversation:
    if len(conversation.clips) != 1:  # of a dialogue, which of them is meant is not said
        return conversation
    empty = conversation.clips[0][:, :0]
    return replace(
        conversation, prompt_ids=ids_with_codes(conversation.prompt_ids, empty, special), clips=[empty]
    )
