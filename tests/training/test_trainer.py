"""The loop: what resumes is what never stopped, and the schedule is the one that is documented."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import CheckpointError, ConfigError
from pipeline.training.checkpoints import checkpoint_files, last_checkpoint
from pipeline.training.trainer import TrainSettings, learning_rate_at, parameter_groups, train
from pipeline.training.training_log import read_log

SETTINGS = TrainSettings(
    steps=12,
    learning_rate=0.01,
    loss_weights={"square": 1.0},
    warmup_steps=4,
    log_every=3,
    evaluate_every=6,
    checkpoint_every=5,
    unit="rows",
)


def new_net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.LayerNorm(8), nn.Linear(8, 2))


def batch_of(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 4, generator=generator)
    return x, x[:, :2] * 2 - x[:, 2:]


def losses_of(net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    x, y = batch
    out = net(x)
    return {"square": ((out - y) ** 2).mean(), "size": out.abs().mean()}


def run(folder: Path, settings: TrainSettings = SETTINGS, **kwargs) -> nn.Module:
    net = new_net()
    train(net, batch_of, losses_of, settings, folder, size_of=lambda b: len(b[0]), **kwargs)
    return net


def test_a_run_cut_in_two_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", replace(SETTINGS, steps=7))
    resumed = run(tmp_path / "cut")
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_signal_is_obeyed_after_the_step_and_saved(tmp_path: Path) -> None:
    def kill_at_4(net: nn.Module, step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    net = new_net()
    outcome = train(net, batch_of, losses_of, SETTINGS, tmp_path, after_step=kill_at_4)
    assert (outcome.step, outcome.stopped) == (5, True)
    resumed = run(tmp_path)
    whole = run(tmp_path / "whole")
    assert torch.equal(resumed[0].weight, whole[0].weight)


def test_two_checkpoints_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    run(tmp_path)
    assert [p.name for p in checkpoint_files(tmp_path)] == [
        "checkpoint-00000010.pt",
        "checkpoint-00000012.pt",
    ]
    assert sorted(p.name for p in tmp_path.iterdir())[-1] == "log.jsonl"
    assert len(list(tmp_path.iterdir())) == 3


def test_the_log_has_means_units_and_evaluations(tmp_path: Path) -> None:
    run(tmp_path, evaluate=lambda net, step: {"square": 10.0 + step})
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == [3, 6, 6, 9, 12, 12]
    valid = [(line["step"], line["valid_square"]) for line in lines if "valid_square" in line]
    assert valid == [(6, 16.0), (12, 22.0)]
    assert {"loss", "square", "size", "grad_norm", "rows_per_second", "learning_rate"} <= lines[0].keys()
    assert lines[0]["loss"] == pytest.approx(lines[0]["square"])


def test_lines_after_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    run(tmp_path)
    last_checkpoint(tmp_path).unlink()  # as if killed at step 12 with the checkpoint of step 10
    run(tmp_path)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [3, 6, 9, 12]


def test_learning_rate_rises_stays_and_falls() -> None:
    settings = TrainSettings(steps=10, learning_rate=1.0, loss_weights={}, warmup_steps=4, decay_steps=2)
    rates = [learning_rate_at(step, settings) for step in range(10)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.5]


def test_embeddings_norms_and_biases_do_not_decay() -> None:
    net = nn.ModuleList([nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3)])
    decayed, kept = parameter_groups(net, 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 4)]
    assert len(kept["params"]) == 4


def test_a_weight_without_a_loss_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no loss is named 'cube': there are size, square"):
        run(tmp_path, replace(SETTINGS, loss_weights={"square": 1.0, "cube": 1.0}))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    def broken(net: nn.Module, batch: object) -> dict[str, torch.Tensor]:
        return {"square": net(torch.ones(1, 4)).sum() / 0}

    with pytest.raises(FloatingPointError, match="step 0"):
        train(new_net(), batch_of, broken, SETTINGS, tmp_path)


@pytest.mark.parametrize("field", ["steps", "log_every", "learning_rate"])
def test_settings_are_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(SETTINGS, **{field: 0})


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match="another model"):
        train(nn.Linear(4, 2), batch_of, losses_of, SETTINGS, tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-00000005.pt").write_bytes(b"not one")
    with pytest.raises(CheckpointError, match="cannot be read"):
        run(tmp_path)
