"""Generation that keeps its slots full: rows come and go, the steps go on.

A row waits, its prompt is prefilled into a free slot (the voice's part once for all its rows), it speaks a
frame per step beside the others, and it leaves when it has ended. Its codes depend on the row, its seed, the
checkpoint and the number of slots, and on nothing else: not on its mates, its order or its slot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch

from pipeline.engine.attention import choose_attention
from pipeline.engine.base import ENGINE_ID, GenerationItem, Sampling, sampling_of
from pipeline.engine.checkpoint import Checkpoint
from pipeline.engine.counters import Counters
from pipeline.engine.delay_pattern import codes_of_frames
from pipeline.engine.device import (
    check_slots_fit,
    choose_num_slots,
    free_bytes,
    is_device_fault,
    on,
    room_bytes,
    voice_room,
)
from pipeline.engine.prefix_store import PrefixStore
from pipeline.engine.prompting import GPU_TOKENS_TOGETHER, Prompt, Prompter
from pipeline.engine.slots import Admission, Slots, slot_bytes
from pipeline.engine.stepper import stepper_for
from pipeline.engine.waiting import Waiting
from pipeline.engine.weights import borrow_weights
from pipeline.errors import ConfigError, EngineFatalError, RowError
from pipeline.records import FinishReason, GeneratedCodes

_CPU_VOICE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class _Row:
    ticket: int
    item: GenerationItem
    prompt: Prompt
    sampling: Sampling
    limit: int


@dataclass(slots=True)
class _Speaking:
    row: _Row
    since_block: int
    since_share: float
    reach: int  # the furthest position that its last step can have touched


class ContinuousEngine:
    """See `Engine`. Not thread-safe: `service.EngineService` is for several callers.

    `num_slots` 0 takes `usual_slots`; `ignore_eos` speaks every row to its limit (for measuring). Raises
    ConfigError if the slots do not fit, CheckpointError for what it cannot compute.
    """

    id = ENGINE_ID

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling | None = None,
        *,
        num_slots: int = 0,
        gpu_share: float = 1.0,
        voice_bytes: int | None = None,
        tokens_together: int | None = None,
        ignore_eos: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self.sampling = sampling or checkpoint.sampling
        self.counters = Counters()
        prompt_format, device = checkpoint.prompt_format, checkpoint.device
        positions = prompt_format.max_positions
        weights = borrow_weights(checkpoint.model, checkpoint.id, positions)
        if voice_bytes is None:
            room = room_bytes(device, gpu_share, checkpoint.num_bytes)
            voice_bytes = _CPU_VOICE_BYTES if room is None else voice_room(room)
        self.num_slots = num_slots or usual_slots(checkpoint, gpu_share)
        bytes_per_slot = slot_bytes(checkpoint.model, positions)
        check_slots_fit(self.num_slots, bytes_per_slot, free_bytes(device), voice_bytes)
        heads = (weights.num_heads, weights.num_kv_heads, weights.head_dim)
        try:
            with on(device):
                self._slots = Slots(
                    weights,
                    self.num_slots,
                    positions,
                    (prompt_format.stream_bos, prompt_format.stream_eos),
                    choose_attention(device, weights.dtype, heads),
                    ignore_eos=ignore_eos,
                )
                self._stepper = stepper_for(self._slots)
        except RuntimeError as error:
            if not is_device_fault(error):
                raise
            raise ConfigError(
                f"model.slots = {self.num_slots}: the device ran out of memory at start; "
                f"set model.slots={max(self.num_slots // 2, 1)}"
            ) from error
        if tokens_together is None:
            tokens_together = GPU_TOKENS_TOGETHER if device.type == "cuda" else 0
        self._prompter = Prompter(
            checkpoint, self._slots, PrefixStore(voice_bytes), tokens_together, self.counters
        )
        self._waiting: Waiting[_Row] = Waiting(voice_bytes)
        self._speaking: dict[int, _Speaking] = {}
        self._free = list(reversed(range(self.num_slots)))
        self._block = 0
        self._share_s = 0.0  # seconds of work, each divided by the rows that were being spoken
        self._tickets = count()

    def generate(self, items: Sequence[GenerationItem]) -> Iterator[GeneratedCodes]:
        """Codes of every item, each as it finishes; raises RowError at the first that cannot be spoken."""
        for item in items:
            self.add(item)
        while self.busy:
            for _, codes in self.advance():
                yield codes

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._speaking)

    @property
    def speaking(self) -> list[int]:
        """Tickets of the rows that have a slot."""
        return [speaking.row.ticket for speaking in self._speaking.values()]

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def device_bytes(self) -> int:
        """Memory that this process holds on its GPU; 0 on a CPU."""
        device = self.checkpoint.device
        return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0

    def add(self, item: GenerationItem, batch: int = 0) -> int:
        """Put a row in line, rows of an older `batch` first. Returns the ticket that `advance` gives back.

        Raises RowError `prompt_too_long` for a row that no slot can hold.
        """
        prompt = self._prompter.read(item.sample, once=item.extended)
        # a frame is whole K steps after its first code, and the all-BOS frame comes before the first
        limit = item.sample.max_new_frames + self.checkpoint.prompt_format.num_codebooks
        if prompt.length + limit > self._slots.num_positions:
            raise RowError(
                "prompt_too_long",
                f"{prompt.length} prompt tokens and up to {limit} frames, a slot holds "
                f"{self._slots.num_positions} positions: shorten the reference or the text",
            )
        ticket = next(self._tickets)
        row = _Row(ticket, item, prompt, sampling_of(item, self.sampling), limit)
        self._waiting.add(
            row,
            batch=batch,
            voice=prompt.voice,
            num_bytes=0 if prompt.once else slot_bytes(self.checkpoint.model, prompt.shared),
            frames=limit,
        )
        return ticket

    def cancel(self, ticket: int) -> bool:
        """Stop a row that is being spoken; False if it is not."""
        for slot, speaking in self._speaking.items():
            if speaking.row.ticket == ticket:
                self._slots.release(slot)
                del self._speaking[slot]
                self._free.append(slot)
                return True
        return False

    def advance(self) -> list[tuple[int, GeneratedCodes]]:
        """Fill the free slots and run a block of steps; the rows that have ended, with their tickets.

        Raises EngineFatalError when the device has failed.
        """
        try:
            with torch.inference_mode(), on(self.checkpoint.device):
                return self._advance()
        except RuntimeError as error:
            if not is_device_fault(error):
                raise
            reason = " ".join(str(error).split())[:300]
            raise EngineFatalError(
                f"{self.id}: {reason}: restart, with a smaller model.slots if it lacks memory"
            ) from error

    def _advance(self) -> list[tuple[int, GeneratedCodes]]:
        began = time.perf_counter()
        self._admit()
        if not self._speaking:
            return []
        self._block += 1
        for speaking in self._speaking.values():
            # a row's last position is that of the frame before its limit
            furthest = speaking.row.prompt.length + speaking.row.limit - 1
            speaking.reach = min(speaking.reach + self._stepper.steps, furthest)
        flags = self._stepper.run(
            max(speaking.reach for speaking in self._speaking.values()),
            max(_top_k(speaking.row.sampling) for speaking in self._speaking.values()),
        )
        self.counters.steps += self._stepper.steps
        self._share_s += (time.perf_counter() - began) / len(self._speaking)
        if flags is None:
            return []
        ended = [
            slot
            for slot, speaking in self._speaking.items()
            if flags.done[slot] and speaking.since_block <= flags.block
        ]
        return [self._retire(slot, flags.frames[slot]) for slot in ended]

    def _admit(self) -> None:
        rows = {}
        while self._free and self._waiting:
            rows[self._free.pop()] = self._waiting.pop()
        if not rows:
            return
        self._prompter.hear({slot: row.prompt for slot, row in rows.items()})
        self._slots.admit(
            [
                Admission(
                    slot=slot,
                    prompt_length=row.prompt.length,
                    seed=row.item.seed,
                    sampling=row.sampling,
                    limit=row.limit,
                    history=row.prompt.inputs.audio_input_ids,
                )
                for slot, row in rows.items()
            ]
        )
        for slot, row in rows.items():
            self._speaking[slot] = _Speaking(row, self._block + 1, self._share_s, row.prompt.length - 1)

    def _retire(self, slot: int, num_frames: int) -> tuple[int, GeneratedCodes]:
        speaking = self._speaking.pop(slot)
        row, engine_s = speaking.row, self._share_s - speaking.since_share
        frames = self._stepper.spoken(slot, num_frames)
        self._free.append(slot)
        self.counters.rows += 1
        self.counters.frames += num_frames - 1
        codes, ended = codes_of_frames(frames, self._slots.stream_bos, self._slots.stream_eos)
        reason: FinishReason = "eos" if ended else "length"
        return row.ticket, GeneratedCodes(row.item.utterance_id, codes, reason, row.item.seed, engine_s)


def usual_slots(checkpoint: Checkpoint, gpu_share: float = 1.0) -> int:
    """How many slots an engine has that is not told: always as many on the same kind of device."""
    room = room_bytes(checkpoint.device, gpu_share, checkpoint.num_bytes)
    return choose_num_slots(slot_bytes(checkpoint.model, checkpoint.prompt_format.max_positions), room)


def _top_k(sampling: Sampling) -> int:
    """How many of the likeliest tokens a row needs to look at; 0 of the user's is no limit."""
    if sampling.temperature == 0:
        return 1
    return sampling.top_k or 2**31
