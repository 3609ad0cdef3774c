"""The device under the engine: its faults, and how many slots its memory holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import torch

CPU_SLOTS = 8
MAX_SLOTS = 512  # beyond, KV bandwidth bounds the step and more slots win little
_ROWS_A_SLOT = 4  # in an engine's hands
_SHARDS_AT_ONCE = (4, 64)  # at least and at most
_STEP_OF_SLOTS = 32  # so that small differences in free memory do not change the number
_KV_SHARE = 0.85  # of free memory; the rest is for activations, logits and the allocator


def is_device_fault(error: Exception) -> bool:
    """A GPU or an allocator that failed: every later row of the process would fail with it."""
    name, said = type(error).__name__, str(error)
    return name in ("OutOfMemoryError", "AcceleratorError") or any(
        phrase in said
        for phrase in (
            "CUDA error",
            "CUDA out of memory",
            "cuDNN error",
            "CUBLAS_STATUS",
            "can't allocate memory",
        )
    )


def shards_at_once(slots: int, shard_rows: int, *, on_gpu: bool) -> int:
    """How many shards an engine is given at a time. `slots` 0 is as many as a GPU may have.

    A shard leaves with the last of its rows. Slots that its others have left go to rows of younger shards, of
    which there are enough while a shard's longest row is up to four times the mean.
    """
    expected = slots or (MAX_SLOTS if on_gpu else CPU_SLOTS)
    least, most = _SHARDS_AT_ONCE
    return min(max(math.ceil(_ROWS_A_SLOT * expected / shard_rows), least), most)


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a GPU; None for other devices, whose slots are few and small."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def choose_num_slots(requested: int, bytes_per_slot: int, free: int | None, reserved: int) -> int:
    """How many rows are spoken at once: `requested`, or if 0 as many as `free` bytes hold (CPU: 8).

    `reserved` bytes are for voices. Raises ConfigError, with the number that would fit, for more.
    """
    if free is None:
        return requested or CPU_SLOTS
    fitting = max(int((free - reserved) * _KV_SHARE) // bytes_per_slot, 0)
    if requested > fitting or fitting == 0:
        gib = 2.0**30
        advice = (
            f"set model.slots={fitting}" if fitting else "use a larger GPU or a smaller model.max_positions"
        )
        raise ConfigError(
            f"model.slots = {requested or 'auto'}: a slot takes {bytes_per_slot / gib:.3g} GiB, "
            f"{free / gib:.3g} GiB are free, of which {reserved / gib:.3g} are for voices: {advice}"
        )
    if requested:
        return requested
    return min(fitting // _STEP_OF_SLOTS * _STEP_OF_SLOTS or fitting, MAX_SLOTS)
