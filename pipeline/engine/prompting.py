"""Prompts into slots: the voice's part once for all rows of the voice, then each row's own text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import embedding

from pipeline.engine.chat_prompt import ModelInputs
from pipeline.engine.checkpoint import Checkpoint
from pipeline.engine.counters import Counters
from pipeline.engine.decoder import KV, embed_frames, prefill
from pipeline.engine.device import to_device
from pipeline.engine.prefix_store import PrefixStore, prefix_key, prefix_length
from pipeline.engine.slots import Slots
from pipeline.records import ChatMLSample

_TEXT_BUCKET = 32  # tokens to which texts are filled up where several are prefilled together
_SPAN_BUCKET = 512
# of the texts that a GPU prefills together: of fewer a product waits for its weights, of more for padding
GPU_TOKENS_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class Prompt:
    """A row's prompt; its first `shared` positions are those of every row with the same `voice`."""

    inputs: ModelInputs
    shared: int
    voice: str  # a hash of all that those positions are computed from
    once: bool  # no other row will have them: what was said before is among them

    @property
    def length(self) -> int:
        return len(self.inputs.input_ids)


class _Shape(NamedTuple):
    """Of the products that a text goes through; it depends on the row alone."""

    rows: int
    length: int  # tokens of its own, filled up
    span: int  # positions that it looks back on


class Prompter:
    """Writes prompts into the slots' KV.

    As many texts of one length go through the model at once as fill `tokens_together`, 0 for each by itself.
    They are always as many, absent ones being padding in the slot of no row, so that a row is computed by
    products of the same shape whoever its mates are.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        slots: Slots,
        store: PrefixStore,
        tokens_together: int,
        counters: Counters,
    ) -> None:
        self._checkpoint, self._slots, self._store = checkpoint, slots, store
        self._tokens_together, self._counters = tokens_together, counters
        special = checkpoint.prompt_format.special
        self._frame_ids = np.array([special.audio_out, special.delay])
        self._semantic_id = special.audio

    def read(self, sample: ChatMLSample, *, once: bool = False) -> Prompt:
        inputs = self._checkpoint.prompt_format.unpack(sample)
        ids = inputs.input_ids
        text = ~np.isin(ids, [*self._frame_ids, self._semantic_id])
        shared = prefix_length(text)
        return Prompt(inputs, shared, prefix_key(inputs, shared), once)

    def hear(self, prompts: Mapping[int, Prompt]) -> None:
        """Prefill the prompt of every slot."""
        for slot, prompt in prompts.items():
            self._counters.prompt_tokens += prompt.length
            if not prompt.shared:
                continue
            if prompt.once:
                prefix, made = self._prefix(prompt), True
            else:
                prefix, made = self._store.get(prompt.voice, partial(self._prefix, prompt))
            if made:
                self._counters.voices_prefilled += 1
                self._counters.prefill_tokens += prompt.shared
            for held, kv in zip(prefix, self._slots.kv, strict=True):
                kv[:, slot, : prompt.shared] = held[:, 0]
        for shape, slots in self._by_shape(prompts).items():
            for start in range(0, len(slots), shape.rows):
                self._texts({slot: prompts[slot] for slot in slots[start : start + shape.rows]}, shape)

    def _by_shape(self, prompts: Mapping[int, Prompt]) -> dict[_Shape, list[int]]:
        groups: dict[_Shape, list[int]] = {}
        for slot, prompt in prompts.items():
            groups.setdefault(self._shape(prompt), []).append(slot)
        return groups

    def _shape(self, prompt: Prompt) -> _Shape:
        own = prompt.length - prompt.shared
        if not self._tokens_together:
            return _Shape(1, own, prompt.length)
        length = _filled(own, _TEXT_BUCKET)
        span = min(_filled(prompt.shared + length, _SPAN_BUCKET), self._slots.num_positions)
        return _Shape(max(self._tokens_together // length, 1), length, span)

    def _texts(self, prompts: Mapping[int, Prompt], shape: _Shape) -> None:
        absent = shape.rows - len(prompts)
        slots = [*prompts, *[self._slots.num_slots] * absent]
        begins = [*(prompt.shared for prompt in prompts.values()), *[0] * absent]
        ids = np.zeros((shape.rows, shape.length), dtype=np.int64)
        self._counters.padding_tokens += ids.size
        for filled, prompt in zip(ids, prompts.values(), strict=False):
            own = prompt.inputs.input_ids[prompt.shared :]
            filled[: len(own)] = own
            self._counters.prefill_tokens += len(own)
            self._counters.padding_tokens -= len(own)
        weights, device = self._slots.weights, self._slots.weights.device
        places, starts = to_device(np.array([slots, begins], dtype=np.int64), device)
        prefill(
            weights,
            self._slots.kv,
            places,
            starts,
            embedding(to_device(ids, device), weights.text_embedding),
            span=shape.span,
        )

    def _prefix(self, prompt: Prompt) -> KV:
        """The voice's part, by itself."""
        weights, device = self._slots.weights, self._slots.weights.device
        ids = prompt.inputs.input_ids[: prompt.shared]
        embedded = embedding(to_device(ids, device), weights.text_embedding)
        if len(heard := np.flatnonzero(np.isin(ids, self._semantic_id))):
            assert self._checkpoint.semantic is not None, (
                "placeholders are packed only where there is a pathway"
            )
            features = torch.cat(self._checkpoint.semantic(prompt.inputs.waveforms))
            embedded[to_device(heard, device)] = features.to(embedded.dtype)
        mixed = None
        spoken = np.isin(ids, self._frame_ids)
        if spoken.any():
            frames, text = (to_device(np.flatnonzero(which), device) for which in (spoken, ~spoken))
            embedded[frames] = embed_frames(weights, to_device(prompt.inputs.audio_input_ids, device))
            mixed = frames, text
        kv = KV.empty(weights, 1, prompt.shared)
        first = torch.zeros(1, dtype=torch.int64, device=device)
        prefill(weights, kv, first, first, embedded[None], mixed, span=prompt.shared)
        return kv


def _filled(length: int, bucket: int) -> int:
    return -(-length // bucket) * bucket
