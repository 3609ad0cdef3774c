"""A release is loaded by the loader of every checkpoint, at half the size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.codecs import codec_info
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.standin import build_random_checkpoint
from pipeline.errors import CheckpointError
from pipeline.training.release import assemble, store_as

LICENCE = Path(__file__).parents[2] / "LICENSE"
LINE = {
    "ablation": "none",
    "rows": 200,
    "wer": 0.25,
    "cer": 0.125,
    "similarity": 0.9,
    "right_minus_wrong": None,
    "identified": 0.875,
    "finished": 1.0,
}
FIGURES = {
    "evaluations": [LINE | {"takes": 4, "best": LINE | {"wer": 0.15}}, LINE | {"ablation": "no_codes"}],
    "teacher WER": 0.07,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build_random_checkpoint(folder, seed=1, name="r", note="n", num_codebooks=2, hidden_size=64)
    return folder


def release(model: Path, codec: Path, out: Path) -> int:
    return assemble(
        model,
        codec,
        out,
        dtype=torch.float16,
        codec_dtype=torch.float32,
        note="A note.",
        temperature=0.25,
        figures=FIGURES,
        recipe={"seeds": 1, "steps": ["python -m jobs.train_model S O"]},
        licence=LICENCE,
    )


def test_a_release_is_a_checkpoint_of_half_the_size(model: Path, tmp_path: Path) -> None:
    size = release(model, model / "codec", tmp_path / "out")
    assert size == sum(f.stat().st_size for f in (tmp_path / "out").rglob("*") if f.is_file())
    checkpoint = load_checkpoint(str(tmp_path / "out"))
    assert checkpoint.id.startswith("voicemill-mini@")
    assert "A note." in checkpoint.notes
    assert checkpoint.sampling.temperature == 0.25
    assert checkpoint.semantic is not None
    assert codec_info(str(tmp_path / "out")).num_codebooks == 2
    before = load_checkpoint(str(model)).model.state_dict()
    for name, weight in checkpoint.model.state_dict().items():
        # float16 has 11 bits; below 2**-14 its steps are 2**-24
        torch.testing.assert_close(weight, before[name], rtol=2**-11, atol=2**-24)
    halved = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert halved < 0.6 * (model / "model.safetensors").stat().st_size


def test_the_card_says_what_was_measured(model: Path, tmp_path: Path) -> None:
    release(model, model / "codec", tmp_path)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "| the model | 200 | 0.250 | 0.125 | 0.900 | - | 0.875 | 1.000 |" in card
    assert "| the model, best of 4 by CER | 200 | 0.150 |" in card
    assert "| without the reference's codes | 200 |" in card
    assert "| teacher WER | 0.070 |" in card
    assert "python -m jobs.train_model S O" in card


def test_a_codec_of_other_codebooks_is_refused(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model / "codec", tmp_path / "codec")
    config = tmp_path / "codec" / "config.json"
    config.write_text(config.read_text().replace('"n_codebooks": 2', '"n_codebooks": 3'))
    with pytest.raises(CheckpointError, match=r"3 codebooks, the model .* reads 2"):
        release(model, tmp_path / "codec", tmp_path / "out")


def test_a_weight_that_overflows_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([1e6]), "n": torch.tensor([70_000])}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="w does not fit"):
        store_as(tmp_path / "a", tmp_path / "b", torch.float16)
    store_as(tmp_path / "a", tmp_path / "b", torch.bfloat16)
    assert load_file(tmp_path / "b")["n"].item() == 70_000
