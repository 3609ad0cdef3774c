"""Who runs the steps: plainly on a CPU, as a captured graph on a GPU."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from pipeline.engine.attention import span_block
from pipeline.engine.slots import Slots

# likeliest tokens looked at on a CPU, where sorting them all costs more than the model; in float32 only: in
# half precision many are equally likely, and which of those come first changes with how many are looked at
_NARROW = 64


class Flags(NamedTuple):
    """What is known after `block`: which slots are done, and how many frames each has said."""

    block: int
    done: list[bool]
    frames: list[int]


class Stepper(Protocol):
    steps: int  # per block

    def run(self, reach: int, top_k: int) -> Flags | None:
        """One block of steps; `reach` is the furthest position and `top_k` the largest of its rows.

        The flags may be those of the block before (None before the first): nobody waits for this one.
        """
        ...

    def spoken(self, slot: int, num_frames: int) -> npt.NDArray[np.int64]:
        """The frames [W, K] of a slot that flags have said is done."""
        ...


class PlainStepper:
    """A step at a time."""

    steps = 1

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._block = 0
        weights = slots.weights
        group = weights.num_heads // weights.num_kv_heads
        self._span_block = span_block(
            slots.num_slots, weights.num_kv_heads, group, weights.head_dim, weights.dtype
        )
        narrow = _NARROW if weights.dtype == torch.float32 else 0
        self._narrow = min(narrow, weights.codebook_size)

    def run(self, reach: int, top_k: int) -> Flags:
        slots = self._slots
        span = min(-(-(reach + 1) // self._span_block) * self._span_block, slots.num_positions)
        slots.step(span, self._narrow if top_k <= self._narrow else slots.weights.codebook_size)
        self._block += 1
        return Flags(self._block, slots.done.tolist(), slots.frame.tolist())

    def spoken(self, slot: int, num_frames: int) -> npt.NDArray[np.int64]:
        return self._slots.spoken(slot, num_frames)


class GraphStepper:
    """Blocks of replays of one CUDA graph over all slots, whole positions and the whole vocabulary.

    A block's flags are copied behind it and read after the next one has been queued, and admission waits for
    nothing that the GPU has in hand (but for a voice that Whisper hears), so that the GPU always has work: a
    row that ends is found at most two blocks late. Streams are those of the current device: see `device.on`.
    """

    steps = 4

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._block = 0
        self._flags = torch.zeros(2, 2, slots.num_slots, dtype=torch.int64).pin_memory()
        self._copied = [torch.cuda.Event(), torch.cuda.Event()]  # type: ignore[no-untyped-call]
        self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()
        # cuBLAS and the allocator initialise on first use, which must not happen inside the capture; slots
        # that are all done stand still meanwhile
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(self._side)
        with torch.cuda.graph(self._graph):
            self._step()

    def _step(self) -> None:
        self._slots.step(self._slots.num_positions, self._slots.weights.codebook_size)

    def run(self, reach: int, top_k: int) -> Flags | None:
        slots = self._slots
        for _ in range(self.steps):
            self._graph.replay()
        self._block += 1
        turn = self._block % 2
        self._flags[turn, 0].copy_(slots.done, non_blocking=True)
        self._flags[turn, 1].copy_(slots.frame, non_blocking=True)
        self._copied[turn].record()
        if self._block == 1:
            return None
        self._copied[1 - turn].synchronize()
        done, frames = self._flags[1 - turn].tolist()
        return Flags(self._block - 1, [bool(flag) for flag in done], frames)

    def spoken(self, slot: int, num_frames: int) -> npt.NDArray[np.int64]:
        # beside the block in flight, which leaves the frames of a done slot as they are
        with torch.cuda.stream(self._side):
            return self._slots.spoken(slot, num_frames)


def stepper_for(slots: Slots) -> Stepper:
    return GraphStepper(slots) if slots.weights.device.type == "cuda" else PlainStepper(slots)
