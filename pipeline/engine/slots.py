"""The rows being spoken, one per slot, as tensors on the device; a step moves every slot by one frame.

A slot's row in every tensor and in the KV is its number: nothing is gathered. A step has no host
synchronisation and no shape that depends on data; slots that are done stand still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.engine.attention import Attention
from pipeline.engine.base import Sampling
from pipeline.engine.decoder import KV, decode
from pipeline.engine.device import to_device
from pipeline.engine.noise import seed_words
from pipeline.engine.sampler import RAS_WINDOW, SamplingState, delayed, sample
from pipeline.engine.weights import Weights


@dataclass(frozen=True, slots=True)
class Admission:
    """A row whose prompt is in a slot's KV: what its first step needs.

    `history` [<= 7, K] are the reference's last frames, which RAS looks back on; `limit` counts frames with
    the all-BOS one.
    """

    slot: int
    prompt_length: int
    seed: int
    sampling: Sampling
    limit: int
    history: npt.NDArray[np.int64]


class Slots:
    """`num_slots` rows of up to `num_positions` positions. One more, of no row, is for padding."""

    def __init__(
        self,
        weights: Weights,
        num_slots: int,
        num_positions: int,
        stream_ids: tuple[int, int],
        attention: Attention,
        *,
        ignore_eos: bool = False,
    ) -> None:
        device, codebooks = weights.device, weights.num_codebooks
        self.weights, self.num_slots, self.num_positions = weights, num_slots, num_positions
        self.stream_bos, self.stream_eos = stream_ids
        self.attention = attention
        self.kv = KV.empty(weights, num_slots + 1, num_positions)

        def full(value: float, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.full((num_slots, *shape), value, dtype=dtype, device=device)

        self.frames = full(self.stream_bos, codebooks)  # said last
        self.frame = full(1)  # number of the one to be said next
        self.position = full(0)  # of the one said last
        self.winding = full(-1)
        self.done = full(1, dtype=torch.bool)
        self.limit = full(1)
        self.history = full(self.stream_bos, RAS_WINDOW, codebooks)
        self.said = full(self.stream_bos, num_positions, codebooks, dtype=torch.int16)
        self.sampling = SamplingState(
            words=torch.zeros(2, num_slots, dtype=torch.int32, device=device),
            temperature=full(0, dtype=torch.float32),
            top_p=full(1, dtype=torch.float32),
            top_k=full(1),
        )
        self._rows = torch.arange(num_slots, device=device)
        self._never = torch.zeros(codebooks, weights.codebook_size, device=device)
        if ignore_eos:
            self._never[:, self.stream_eos] = -torch.inf

    def admit(self, rows: list[Admission]) -> None:
        """Start rows: the model has heard the prompts, and the all-BOS frame is what it said last."""
        if not rows:
            return
        device, bos = self.weights.device, self.stream_bos
        numbers = np.array(
            [
                (
                    *(row.slot, row.prompt_length, row.limit),
                    row.sampling.top_k or self.weights.codebook_size,
                    *seed_words(row.seed),
                )
                for row in rows
            ]
        )
        slots, position, limit, top_k, *words = to_device(numbers.T.copy(), device)
        fractions = np.array([(row.sampling.temperature, row.sampling.top_p) for row in rows], np.float32)
        temperature, top_p = to_device(fractions.T.copy(), device)
        history = np.full((len(rows), RAS_WINDOW, self.weights.num_codebooks), bos, dtype=np.int64)
        for filled, row in zip(history, rows, strict=True):
            tail = row.history[-(RAS_WINDOW - 1) :]
            filled[RAS_WINDOW - 1 - len(tail) : RAS_WINDOW - 1] = tail
        self.history[slots] = to_device(history, device)
        # a number that is assigned would be copied to the device, and waited for
        self.frames.index_fill_(0, slots, bos)
        self.said[:, 0].index_fill_(0, slots, bos)
        self.frame.index_fill_(0, slots, 1)
        self.winding.index_fill_(0, slots, -1)
        self.position[slots] = position
        self.limit[slots] = limit
        self.done[slots] = limit <= 1
        self.sampling.temperature[slots] = temperature
        self.sampling.top_p[slots] = top_p
        self.sampling.top_k[slots] = top_k
        self.sampling.words[:, slots] = torch.stack(words).to(torch.int32)

    def step(self, span: int, width: int) -> None:
        """Every slot that is not done says its next frame.

        `span` bounds the positions that hold anything, `width` the `top_k` of the rows (see `sample`).
        """
        # a slot that is done would look back on all that its row has said, for nothing; the next row's prompt
        # writes over what it writes at its first position instead
        position = self.position.masked_fill(self.done, 0)
        logits = decode(self.weights, self.kv, self.frames, position, self.attention, span)
        logits = logits + self._never
        stream_ids = (self.stream_bos, self.stream_eos)
        tokens = sample(logits, self.sampling, self.frame, self.history, stream_ids, width)
        tokens, winding = delayed(tokens, self.frame, self.winding, *stream_ids)
        tokens = torch.where(self.done[:, None], self.frames, tokens)
        frame = torch.where(self.done, self.frame - 1, self.frame)
        self.said[self._rows, frame] = tokens.to(torch.int16)
        history = torch.cat((self.history[:, 1:], tokens[:, None]), dim=1)
        self.history.copy_(torch.where(self.done[:, None, None], self.history, history))
        self.winding.copy_(torch.where(self.done, self.winding, winding))
        self.frames.copy_(tokens)
        moving = (~self.done).to(torch.int64)
        self.frame.add_(moving)
        self.position.add_(moving)
        self.done.logical_or_((tokens == self.stream_eos).all(dim=-1) | (self.frame >= self.limit))

    def release(self, slot: int) -> None:
        """Stop a row before its end."""
        self.done[slot].fill_(value=True)

    def spoken(self, slot: int, num_frames: int) -> npt.NDArray[np.int64]:
        """The frames [W, K] of a row that is done, from the all-BOS one on."""
        return self.said[slot, :num_frames].cpu().numpy().astype(np.int64)


def slot_bytes(model: Any, num_positions: int) -> int:
    """Device memory of a slot of that HiggsAudioV2 model: its keys and values, and what it says (int16)."""
    config = model.config
    per_layer = 2 * config.num_key_value_heads * config.head_dim * model.dtype.itemsize
    of_position: int = config.num_hidden_layers * per_layer + 2 * config.num_codebooks
    return num_positions * of_position
