"""What is taken from a model on purpose, to see that it was of use: samples, weights or codes made worse.

An ablation that does not lower the scores says that the part it removes does nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch

from pipeline.codecs.base import Codes
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.records import ChatMLSample
from pipeline.training.reference_codes import ids_with_codes

Ablation = Literal[
    "none", "no_semantic", "no_codes", "no_reference", "other_codes", "no_audio_ffn", "no_delay", "labels"
]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)


def without_labels(sample: ChatMLSample, prompt_format: PromptFormat) -> ChatMLSample:
    """A training sample as it is asked at inference: up to where the target begins to be spoken."""
    if sample.label_audio_ids is None:
        return sample
    ids = np.asarray(sample.input_ids)
    asked = int(np.flatnonzero(ids == prompt_format.special.audio_out_bos)[-1]) + 1
    start = sample.audio_ids_start[-2]
    return replace(
        sample,
        input_ids=sample.input_ids[:asked],
        audio_ids_concat=sample.audio_ids_concat[:, :start],
        audio_ids_start=sample.audio_ids_start[:-1],
        label_ids=None,
        label_audio_ids=None,
    )


def ablate_sample(
    sample: ChatMLSample, ablation: Ablation, other_codes: Codes, prompt_format: PromptFormat
) -> ChatMLSample:
    """An unlabelled sample of one reference; `other_codes` [K, T] are those of another voice."""
    if ablation == "no_semantic":
        return _without_semantic(sample, prompt_format)
    if ablation == "no_codes":
        return _with_codes(sample, other_codes[:, :0], prompt_format)
    if ablation == "no_reference":  # neither; what it said is still there
        return _without_semantic(_with_codes(sample, other_codes[:, :0], prompt_format), prompt_format)
    if ablation == "other_codes":
        return _with_codes(sample, other_codes, prompt_format)
    return sample


def _without_semantic(sample: ChatMLSample, prompt_format: PromptFormat) -> ChatMLSample:
    special = prompt_format.special
    ids = np.asarray(sample.input_ids)
    heard = np.isin(ids, [special.audio_bos, special.audio])
    if heard.any():
        heard[np.flatnonzero(heard)[-1] + 1] = True  # the audio_eos that closes it
    return replace(
        sample,
        input_ids=ids[~heard].tolist(),
        audio_waveforms_concat=sample.audio_waveforms_concat[:0],
        audio_waveforms_start=[0],
    )


def _with_codes(sample: ChatMLSample, codes: Codes, prompt_format: PromptFormat) -> ChatMLSample:
    ids = ids_with_codes(np.asarray(sample.input_ids), codes, prompt_format.special)
    return replace(
        sample,
        input_ids=ids.tolist(),
        audio_ids_concat=codes,
        audio_ids_start=[0, codes.shape[1]],
    )


def ablate_model(model: Any, ablation: Ablation) -> None:
    """Change a `HiggsAudioV2ForConditionalGeneration` in place: `no_audio_ffn` speaks by the text branch."""
    if ablation != "no_audio_ffn":
        return
    with torch.no_grad():
        for layer in model.model.layers:
            layer.audio_mlp.load_state_dict(layer.mlp.state_dict())
            layer.audio_input_layernorm.load_state_dict(layer.input_layernorm.state_dict())
            layer.audio_post_attention_layernorm.load_state_dict(layer.post_attention_layernorm.state_dict())


def ablate_codes(codes: Codes, ablation: Ablation) -> Codes:
    """Generated codes [K, T]; `no_delay` is what comes out when the delay pattern is not reverted."""
    if ablation != "no_delay" or codes.shape[1] == 0:
        return codes
    return np.stack([np.roll(row, k) for k, row in enumerate(codes)])
