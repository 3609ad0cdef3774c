"""Training state on disk: weights, optimizer and step in one file, written aside and renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.errors import CheckpointError

_KEPT = 2


def checkpoint_files(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("checkpoint-????????.pt"))


def last_checkpoint(folder: Path) -> Path | None:
    return next(reversed(checkpoint_files(folder)), None)


def save_training_state(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Path:
    """Write `checkpoint-{step}.pt` and remove all but the last two. A crash leaves the one before whole.

    Weights that are not trained are left out: they are where the run began.
    """
    path = folder / f"checkpoint-{step:08d}.pt"
    aside = folder / f".{path.name}.{os.getpid()}"
    frozen = _frozen(module)
    weights = {name: value for name, value in module.state_dict().items() if name not in frozen}
    with aside.open("wb") as file:
        torch.save({"step": step, "module": weights, "optimizer": optimizer.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    for old in checkpoint_files(folder)[:-_KEPT]:
        old.unlink()
    return path


def load_training_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Put a checkpoint into `module`, and into `optimizer` to go on, and return its step.

    Raises CheckpointError.
    """
    state = _read(path)
    try:
        loading = module.load_state_dict(state["module"], strict=False)
        if wrong := [*loading.unexpected_keys, *(set(loading.missing_keys) - _frozen(module))]:
            raise KeyError(wrong[0])
        if optimizer is not None:
            optimizer.load_state_dict(state["optimizer"])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: is of another model or other settings: {reason}") from error
    return int(state["step"])


def weight_names(path: Path) -> set[str]:
    """The weights in a checkpoint. Raises CheckpointError."""
    return set(_read(path)["module"])


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, pickle and torch each raise their own
        raise CheckpointError(f"{path}: cannot be read as a training checkpoint: {error}") from error
    return state
