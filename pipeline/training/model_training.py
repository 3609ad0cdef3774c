"""The language model's training run: its folder, what is trained and on what.

The folder holds the checkpoint's configs and tokenizer, the log and the training state. A new folder is
a voicemill-mini; with `init` it is a copy of an existing checkpoint's configs, to be fine-tuned.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.model_files import locate, read_config
from pipeline.engine.semantic import SemanticPathway
from pipeline.errors import ConfigError
from pipeline.training.collate import Batch, collate
from pipeline.training.losses import TrainedModel
from pipeline.training.mini_model import new_mini_folder
from pipeline.training.reference_codes import drop_codes
from pipeline.training.samples import BatchPlan, read_conversations, tell_phones, whole_batches
from pipeline.training.trainer import TrainOutcome, TrainSettings, train

FIRST_CODEBOOK_WEIGHT = 1.0
OTHER_CODEBOOKS_WEIGHT = 0.3  # each; the words hang on the first
TEXT_WEIGHT = 0.05  # three tokens a target, which generation forces
SEMANTIC_WEIGHT = 0.2
READING_WEIGHT = 0.3
PHONES_WEIGHT = 1.0
WRONG_HISTORY = 0.25  # of the frames that a model which is trained from nothing hears back
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What is trained where. `positions` is a batch's size on each of the workers.

    With `guided`, the training of `init` goes on as it began: shown where to read and what to say next, and
    with wrong history. From nothing it always is. `drop_codes` is the share of references that are given by
    their semantic features alone.
    """

    samples: Path  # train/*.parquet and valid/*.parquet
    folder: Path
    num_codebooks: int = 4
    init: str | None = None
    init_revision: str | None = None
    guided: bool = False
    drop_codes: float = 0.0
    lora_rank: int = 0
    positions: int = 4000
    max_targets: int = 10
    valid_rows: int = 200
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Trainee:
    """`adapted` is peft's wrapper around `module.model` when LoRA is trained."""

    module: TrainedModel
    prompt_format: PromptFormat
    adapted: Any | None = None


def prepare_folder(run: ModelRun) -> None:
    """Make the run's folder, once. Raises ConfigError for one that was begun with other codebooks."""
    if not (run.folder / "config.json").is_file():
        run.folder.mkdir(parents=True, exist_ok=True)
        if run.init is None:
            new_mini_folder(run.folder, run.num_codebooks)
        else:
            copy_configs(locate(run.init, run.init_revision).folder, run.folder)
        return
    found = read_config(run.folder)["num_codebooks"]
    if run.init is None and found != run.num_codebooks:
        raise ConfigError(f"{run.folder} was begun with {found} codebooks, not {run.num_codebooks}")


def copy_configs(source: Path, folder: Path) -> None:
    """Copy what a checkpoint has beside its weights and its codec."""
    patterns = ("config.json", "generation_config.json", "tokenizer*.json", "semantic/config.json")
    for file in (file for pattern in patterns for file in source.glob(pattern)):
        to = folder / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)


def new_trainee(run: ModelRun, seed: int, *, phones: bool | None = None) -> Trainee:
    """The model of the run's folder with weights as they are before the first step.

    `phones` gives it the head that tells them; by default it has one if its samples tell them.
    """
    from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration, WhisperConfig

    prompt_format = PromptFormat.from_folder(run.folder, run.folder.name, style="document", semantic="auto")
    torch.manual_seed(seed)
    if run.init is not None:
        checkpoint = load_checkpoint(run.init, run.init_revision, run.device, torch.float32)
        module = TrainedModel(
            checkpoint.model,
            checkpoint.semantic,
            prompt_format.special.audio,
            phones=run.guided and tell_phones(run.samples / "train"),
            wrong_history=WRONG_HISTORY if run.guided else 0.0,
        )
        adapted = _add_lora(module, run.lora_rank) if run.lora_rank else None
        return Trainee(module.to(run.device).train(), prompt_format, adapted)
    if run.lora_rank:
        raise ConfigError("LoRA adapts a trained checkpoint: name it with --init")
    config = HiggsAudioV2Config.from_dict(read_config(run.folder))
    model = HiggsAudioV2ForConditionalGeneration(config, use_text_head=True)
    whisper = WhisperConfig.from_dict(read_config(run.folder / "semantic"))
    module = TrainedModel(
        model,
        SemanticPathway(whisper, config.hidden_size),
        prompt_format.special.audio,
        phones=tell_phones(run.samples / "train") if phones is None else phones,
        wrong_history=WRONG_HISTORY,
    )
    return Trainee(module.to(run.device), prompt_format)


def _add_lora(module: TrainedModel, rank: int) -> Any:
    """Low-rank adapters on the attention's projections; all else is frozen."""
    from peft import LoraConfig, get_peft_model

    module.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS)
    return get_peft_model(module.model, config)


def loss_weights(module: TrainedModel, *, guided: bool) -> dict[str, float]:
    """What is trained on; one that is not `guided` has its own way of reading."""
    codebooks = module.model.config.num_codebooks
    weights = {f"audio_{k}": OTHER_CODEBOOKS_WEIGHT for k in range(codebooks)}
    weights["audio_0"] = FIRST_CODEBOOK_WEIGHT
    if guided:
        weights["reading"] = READING_WEIGHT
    if module.phone_head is not None:
        weights["phones"] = PHONES_WEIGHT
    if module.model.text_lm_head is not None:
        weights["text"] = TEXT_WEIGHT
    # under LoRA the pathway is frozen, and so is what this loss could teach
    if module.semantic is not None and any(p.requires_grad for p in module.semantic.parameters()):
        weights["semantic"] = SEMANTIC_WEIGHT
    return weights


def train_model(
    run: ModelRun,
    trainee: Trainee,
    settings: TrainSettings,
    *,
    rank: int = 0,
    world_size: int = 1,
    parallel: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> TrainOutcome:
    """Train until `settings.steps`; each of `world_size` workers takes every so many-th batch of one plan."""
    prompt_format, device = trainee.prompt_format, torch.device(run.device)
    if not 0 <= run.drop_codes < 1:
        raise ConfigError(
            f"--drop-codes {run.drop_codes:g}: a share of the references, at least 0 and below 1"
        )
    if run.drop_codes and not prompt_format.hears_reference:
        raise ConfigError(f"--drop-codes: {prompt_format.id} has no semantic pathway to hear a reference by")
    conversations = read_conversations(run.samples / "train", prompt_format, max_targets=run.max_targets)
    plan = BatchPlan(conversations, run.positions, settings.seed)
    held_out = read_conversations(
        run.samples / "valid", prompt_format, max_targets=run.max_targets, limit=run.valid_rows
    )
    valid = [batch.to(device) for batch in whole_batches(held_out, prompt_format, run.positions)]
    if rank == 0:
        described = {
            "run": {name: str(getattr(run, name)) for name in run.__slots__},
            "settings": {name: str(getattr(settings, name)) for name in settings.__slots__},
            "conversations": len(conversations),
            "targets": sum(len(conversation.targets) for conversation in conversations),
        }
        (run.folder / "run.json").write_text(json.dumps(described, indent=2) + "\n", "utf-8")

    def batch_of(step: int) -> Batch:
        at = step * world_size + rank
        rng = np.random.default_rng([settings.seed, at])
        drawn = drop_codes(plan.at(at), prompt_format.special, run.drop_codes, rng)
        return collate(drawn, prompt_format).to(device)

    return train(
        parallel(trainee.module),
        batch_of,
        lambda module, batch: module(batch),
        settings,
        run.folder,
        evaluate=lambda module, _step: mean_losses(module, valid),
        size_of=lambda batch: batch.num_positions * world_size,
        is_writer=rank == 0,
    )


def mean_losses(module: nn.Module, batches: list[Batch]) -> Mapping[str, float]:
    """Losses over all batches, each weighed by how many codes it has to say."""
    sums: dict[str, float] = {}
    total = sum(len(batch.audio_positions) for batch in batches)
    for batch in batches:
        for name, value in module(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch.audio_positions) / total
    return sums
