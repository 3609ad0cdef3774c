"""A run from samples to a checkpoint that says what it was taught, anew and by LoRA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dummies import mini_format, random_samples, shrink, write_samples

from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.standin import build_random_checkpoint
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import CheckpointError, ConfigError
from pipeline.training.ablations import without_labels
from pipeline.training.model_export import export_run, export_trainee
from pipeline.training.model_training import ModelRun, loss_weights, new_trainee, prepare_folder, train_model
from pipeline.training.trainer import TrainSettings
from pipeline.training.training_log import read_log

K = 2
SETTINGS = TrainSettings(
    steps=120,
    learning_rate=5e-3,
    loss_weights={},
    warmup_steps=10,
    decay_steps=60,
    log_every=60,
    evaluate_every=120,
)


def samples_in(folder: Path, prompt_format, *, codes: int = 8, references: int = 2):
    samples = random_samples(
        prompt_format, references, 2, codes=codes, reference_frames=8, target_frames=(6, 10)
    )
    for split in ("train", "valid"):
        write_samples(folder / split, samples)
    return samples


def new_run(tmp_path: Path) -> ModelRun:
    run = ModelRun(tmp_path / "samples", tmp_path / "run", num_codebooks=K, positions=10_000)
    prepare_folder(run)
    shrink(run.folder)
    return run


def trained(run: ModelRun, settings: TrainSettings):
    trainee = new_trainee(run, seed=0)
    train_model(run, trainee, replace(settings, loss_weights=weights_of(run, trainee)))
    return trainee


def weights_of(run: ModelRun, trainee):
    return loss_weights(trainee.module, guided=run.guided or run.init is None)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_what_was_learned_by_heart_is_said_again(tmp_path: Path, device: str) -> None:
    run = replace(new_run(tmp_path), device=device)
    samples = samples_in(run.samples, mini_format(tmp_path / "format", K))
    trained(run, SETTINGS)
    last = read_log(run.folder / "log.jsonl")[-1]
    assert max(last["valid_audio_0"], last["valid_audio_1"], last["valid_text"]) < 0.1
    assert export_run(run, tmp_path / "out") == SETTINGS.steps
    checkpoint = load_checkpoint(str(tmp_path / "out"), device=device)
    assert checkpoint.semantic is not None
    assert checkpoint.model.text_lm_head is None
    asked = [without_labels(sample, checkpoint.prompt_format) for sample in samples]
    items = [GenerationItem(str(i), replace(s, max_new_frames=30), seed=0) for i, s in enumerate(asked)]
    said = list(TransformersEngine(checkpoint, Sampling(temperature=0.0)).generate(items))
    for codes, sample in zip(said, samples, strict=True):
        assert codes.finish_reason == "eos"
        assert np.array_equal(codes.codes, sample.label_audio_ids)


def test_a_run_of_other_codebooks_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(ConfigError, match="begun with 2 codebooks, not 3"):
        prepare_folder(replace(run, num_codebooks=3))
    samples_in(run.samples, mini_format(tmp_path / "format", 3))
    with pytest.raises(ConfigError, match="3 codebooks, the model reads 2"):
        trained(run, SETTINGS)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_of_dropped_codes_is_a_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(ConfigError, match="a share of the references"):
        trained(replace(new_run(tmp_path), drop_codes=share), SETTINGS)


def test_without_semantic_features_no_codes_can_be_dropped(tmp_path: Path) -> None:
    run = replace(new_run(tmp_path), drop_codes=0.5)
    trainee = new_trainee(run, seed=0)
    deaf = replace(trainee, prompt_format=replace(trainee.prompt_format, max_semantic_frames=0))
    with pytest.raises(ConfigError, match="no semantic pathway"):
        train_model(run, deaf, replace(SETTINGS, loss_weights=weights_of(run, trainee)))


def test_with_dropped_codes_it_learns_as_well(tmp_path: Path) -> None:
    run = replace(new_run(tmp_path), drop_codes=0.5)
    samples_in(run.samples, mini_format(tmp_path / "format", K))
    trained(run, SETTINGS)
    last = read_log(run.folder / "log.jsonl")[-1]
    assert max(last["valid_audio_0"], last["valid_audio_1"]) < 0.2  # 2.1 nats is what chance would be


def test_nothing_to_export_before_the_first_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no training checkpoint yet"):
        export_run(new_run(tmp_path), tmp_path / "out")


def test_lora_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--init"):
        new_trainee(replace(new_run(tmp_path), lora_rank=4), seed=0)


@pytest.fixture
def lora_run(tmp_path: Path) -> ModelRun:
    pytest.importorskip("peft")
    build_random_checkpoint(tmp_path / "base", seed=1, name="base", note="n", num_codebooks=K, hidden_size=64)
    run = ModelRun(
        tmp_path / "samples", tmp_path / "run", init=str(tmp_path / "base"), lora_rank=4, positions=10_000
    )
    prepare_folder(run)
    return run


def test_lora_trains_the_projections_alone_and_exports_merged(tmp_path: Path, lora_run: ModelRun) -> None:
    trainee = new_trainee(lora_run, seed=0)
    samples_in(lora_run.samples, trainee.prompt_format, references=1)
    names = {name for name, p in trainee.module.named_parameters() if p.requires_grad}
    # down and up, of four projections in three layers
    assert len(names) == 2 * 4 * 3
    assert all("lora_" in name and "self_attn" in name for name in names)
    settings = replace(SETTINGS, steps=12, decay_steps=0, log_every=4, evaluate_every=12)
    train_model(lora_run, trainee, replace(settings, loss_weights=weights_of(lora_run, trainee)))
    losses = [line["loss"] for line in read_log(lora_run.folder / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]

    before = trainee.module.model.model.layers[0].self_attn.q_proj.base_layer.weight.clone()
    export_trainee(trainee, lora_run.folder, tmp_path / "out")
    merged = load_checkpoint(str(tmp_path / "out")).model
    assert not torch.equal(merged.model.layers[0].self_attn.q_proj.weight, before)
    base = load_checkpoint(lora_run.init).model
    assert torch.equal(base.model.layers[0].self_attn.q_proj.weight, before)
    assert torch.equal(merged.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_lora_checkpoint_has_the_adapters_alone_and_resumes(tmp_path: Path, lora_run: ModelRun) -> None:
    samples_in(lora_run.samples, new_trainee(lora_run, seed=0).prompt_format, references=1)
    settings = replace(SETTINGS, steps=3, decay_steps=0, evaluate_every=100)
    whole = trained(
        replace(lora_run, folder=_copied(lora_run, tmp_path / "whole")), replace(settings, steps=5)
    )
    trained(lora_run, settings)
    (saved,) = lora_run.folder.glob("checkpoint-*.pt")
    state = torch.load(saved, weights_only=True)["module"]
    assert all("lora_" in name for name in state)
    resumed = trained(lora_run, replace(settings, steps=5))
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name


def _copied(run: ModelRun, folder: Path) -> Path:
    prepare_folder(replace(run, folder=folder))
    return folder
