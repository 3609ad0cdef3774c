"""The device under the engine: its faults, its memory, and how many slots that holds."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

CPU_SLOTS = 8
MAX_SLOTS = 512  # beyond, KV bandwidth bounds the step and more slots win little
_ROWS_A_SLOT = 4  # in an engine's hands
_SHARDS_AT_ONCE = (4, 64)  # at least and at most
_STEP_OF_SLOTS = 32  # so that cards of nearly the same size have the same number
_VOICE_SHARE = 0.1  # of the room that slots and voices have
# beside the weights: CUDA itself, the codec and its batches (codecs/base.py), activations and logits
_WORKSPACE_BYTES = 4 * 2**30
_CUDA_BYTES = 2**30  # of that CUDA's own, which free memory lacks already


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


def on(device: torch.device) -> AbstractContextManager[None]:
    """While open, streams, events and kernels are those of `device`, and not of the process's first GPU."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def to_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Without waiting for what a GPU has in hand: from pinned memory, which torch keeps until it is read."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def room_bytes(device: torch.device, share: float, weight_bytes: int) -> int | None:
    """What slots and voices have of a GPU of which the engine has a `share`; None for other devices.

    Of what never changes only, so that an engine that is started anew has as many slots as before: codes
    depend on the number. 0 or less where weights and workspace alone exceed the share.
    """
    import torch

    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory
    return int(total * share) - weight_bytes - _WORKSPACE_BYTES


def voice_room(room: int) -> int:
    """The voices' part of it."""
    return max(int(room * _VOICE_SHARE), 0)


def choose_num_slots(bytes_per_slot: int, room: int | None) -> int:
    """How many rows are spoken at once: as many as the `room` holds beside voices, at least one (CPU: 8)."""
    if room is None:
        return CPU_SLOTS
    fitting = (room - voice_room(room)) // bytes_per_slot
    return max(min(fitting // _STEP_OF_SLOTS * _STEP_OF_SLOTS or fitting, MAX_SLOTS), 1)


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a GPU; None for other devices, whose slots are few and small."""
    import torch

    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()  # what fusing the weights has left, some 5 GiB, would count as used
    return int(torch.cuda.mem_get_info(device)[0])


def check_slots_fit(num_slots: int, bytes_per_slot: int, free: int | None, voice_bytes: int) -> None:
    """Raises ConfigError, with the number that would fit, where `free` bytes do not hold the slots."""
    if free is None:
        return
    reserved = voice_bytes + _WORKSPACE_BYTES - _CUDA_BYTES
    fitting = max(free - reserved, 0) // bytes_per_slot
    if num_slots <= fitting:
        return
    gib = 2.0**30
    advice = (
        f"free memory on it, or for a new run set model.slots={fitting}"
        if fitting
        else "use a larger GPU or a smaller model.max_positions"
    )
    raise ConfigError(
        f"model.slots = {num_slots}: a slot takes {bytes_per_slot / gib:.3g} GiB, {free / gib:.3g} GiB of "
        f"the GPU are free, of which voices and codec take {reserved / gib:.3g}: {advice}"
    )
