"""Training state -> a checkpoint folder that the pipeline's loader reads."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.errors import CheckpointError
from pipeline.training.checkpoints import last_checkpoint, load_training_state, weight_names
from pipeline.training.model_training import ModelRun, Trainee, copy_configs, new_trainee


def export_trainee(trainee: Trainee, source: Path, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the trained model without its training heads; adapters are merged, and kept in `adapter/`.

    `source` is where the configs and the tokenizer are copied from. The trainee is not of use for
    training afterwards.
    """
    from transformers.utils import logging as bars

    folder.mkdir(parents=True, exist_ok=True)
    copy_configs(source, folder)
    model = trainee.module.model
    if trainee.adapted is not None:
        trainee.adapted.save_pretrained(folder / "adapter")
        model = trainee.adapted.merge_and_unload()
    model.text_lm_head = None
    model.set_attn_implementation("sdpa")
    bars.disable_progress_bar()
    model.to("cpu", dtype).save_pretrained(folder)
    bars.enable_progress_bar()
    if trainee.module.semantic is not None:
        trainee.module.semantic.to("cpu", dtype).save(folder / "semantic")


def export_run(run: ModelRun, folder: Path, dtype: torch.dtype = torch.float32) -> int:
    """Write the last checkpoint of a run's folder and return its step. Raises CheckpointError."""
    checkpoint = last_checkpoint(run.folder)
    if checkpoint is None:
        raise CheckpointError(f"{run.folder}: no training checkpoint yet")
    trainee = new_trainee(run, seed=0, phones="phone_head.weight" in weight_names(checkpoint))
    step = load_training_state(checkpoint, trainee.module)
    export_trainee(trainee, run.folder, folder, dtype)
    return step
