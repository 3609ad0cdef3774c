"""The jobs as they are called: train, export, evaluate; and on two workers by Ray Train."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from dummies import mini_format, random_samples, shrink, write_samples

from jobs import evaluate_mini, train_model
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.standin import build_random_checkpoint
from pipeline.training.mini_model import new_mini_folder
from pipeline.training.training_log import read_log

K = 2


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    prompt_format = mini_format(tmp_path / "format", K)
    for split in ("train", "valid"):
        made = random_samples(prompt_format, 2, 2, reference_frames=8, target_frames=(6, 10))
        write_samples(tmp_path / "samples" / split, made)
    new_mini_folder(tmp_path / "run", K)
    shrink(tmp_path / "run")
    return tmp_path / "samples"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch):
    threads = torch.get_num_threads()

    def with_arguments(main, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["job", *map(str, arguments)])
        return main()

    yield with_arguments
    torch.set_num_threads(threads)


def test_train_goes_on_and_exports(samples: Path, tmp_path: Path, call) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    flags = ("--codebooks", K, "--threads", 1, "--evaluate-every", 2)
    assert call(train_model.main, samples, run, "--steps", 2, *flags) == 0
    assert call(train_model.main, samples, run, "--steps", 4, *flags, "--export", out) == 0
    assert [line["step"] for line in read_log(run / "log.jsonl") if "valid_audio_0" in line] == [2, 4]
    assert load_checkpoint(str(out)).prompt_format.num_codebooks == K


@pytest.mark.ray
def test_two_workers_train_one_model(samples: Path, tmp_path: Path, call) -> None:
    run = tmp_path / "run"
    flags = ("--codebooks", K, "--threads", 1, "--evaluate-every", 2, "--positions", 150, "--device", "cpu")
    assert call(train_model.main, samples, run, "--steps", 2, "--workers", 2, *flags) == 0
    assert [p.name for p in run.glob("checkpoint-*.pt")] == ["checkpoint-00000002.pt"]
    (line,) = [line for line in read_log(run / "log.jsonl") if "valid_audio_0" in line]
    assert 6.5 < line["valid_audio_0"] < 7.3  # about ln 1026


def test_evaluation_of_a_random_checkpoint(tmp_path: Path, call, capsys: pytest.CaptureFixture[str]) -> None:
    build_random_checkpoint(tmp_path / "model", seed=1, name="r", note="n", num_codebooks=K, hidden_size=64)
    prompt_format = PromptFormat.from_folder(tmp_path / "model", "r", style="document", semantic="auto")
    made = random_samples(prompt_format, 3, 1, reference_frames=40, target_frames=(20, 30))
    write_samples(tmp_path / "valid", made)
    flags = ("--rows", 3, "--voices", 3, "--threads", 1, "--keep", tmp_path / "kept")
    names = ("labels", "none", "no_codes")
    assert call(evaluate_mini.main, tmp_path / "model", tmp_path / "valid", *flags, "--ablation", *names) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["ablation"] for line in lines] == list(names)
    assert all(line["rows"] == 3 and line["wer"] > 0.5 for line in lines)  # noise is no words
    assert lines[0]["finished"] == 1.0
    assert (tmp_path / "kept" / "labels" / "heard.jsonl").is_file()
