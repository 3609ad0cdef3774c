from __future__ import annotations

import json
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.codecs import codec_info, load_codec
from pipeline.engine import model_files
from pipeline.engine.base import Sampling
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.checkpoint import checkpoint_id, load_checkpoint
from pipeline.engine.standin import build_random_checkpoint
from pipeline.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copied(tmp_path, folder_of):
    return shutil.copytree(folder_of(8), tmp_path / "copied")


def test_loads_what_was_saved(copied, checkpoint_of):
    loaded = load_checkpoint(str(copied))
    saved = load_file(copied / "model.safetensors")
    state = loaded.model.state_dict()
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[key], state[key]) for key in saved)
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert loaded.semantic is not None
    assert loaded.notes == ("random",)
    assert loaded.id == checkpoint_id(str(copied)) == checkpoint_of(8).id


def test_same_seed_same_contents(tmp_path, folder_of):
    build_random_checkpoint(tmp_path, seed=7, name="tiny", note="random", hidden_size=64)
    assert checkpoint_id(str(tmp_path)) == checkpoint_id(str(folder_of(8)))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "semantic/config.json"])
def test_id_changes_with_the_contents(copied, name):
    before = checkpoint_id(str(copied))
    path = copied / name
    path.write_text(path.read_text() + "\n")
    assert checkpoint_id(str(copied)) != before


def test_id_does_not_change_with_the_codec_or_the_folder(copied, tmp_path):
    before = checkpoint_id(str(copied))
    shutil.rmtree(copied / "codec")
    (copied / "README.md").write_text("a note")
    assert checkpoint_id(str(copied.rename(tmp_path / "moved"))) == before


def test_a_local_revision_is_held_to(copied):
    name, revision = checkpoint_id(str(copied)).split("@")
    assert name == "tiny"
    assert checkpoint_id(str(copied), revision) == f"tiny@{revision}"
    with pytest.raises(CheckpointError, match="the contents are"):
        checkpoint_id(str(copied), "0" * 12)


def test_semantic_modes(copied):
    assert load_checkpoint(str(copied), semantic="on").semantic is not None
    off = load_checkpoint(str(copied), semantic="off")
    assert off.semantic is None
    assert any("semantic" in note for note in off.notes)
    shutil.rmtree(copied / "semantic")
    assert load_checkpoint(str(copied)).semantic is None
    with pytest.raises(CheckpointError, match="use semantic 'auto' or 'off'"):
        load_checkpoint(str(copied), semantic="on")


def test_missing_weights_are_an_error_and_not_random(copied):
    weights = load_file(copied / "model.safetensors")
    del weights["model.layers.1.audio_mlp.up_proj.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights are missing, such as .*audio_mlp"):
        load_checkpoint(str(copied))


def test_truncated_weights(copied):
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load_checkpoint(str(copied))


def test_pickled_weights_are_not_read(copied):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot load the model"):
        load_checkpoint(str(copied))


def test_a_semantic_pathway_of_another_width(copied, tmp_path):
    other = tmp_path / "wider"
    build_random_checkpoint(other, seed=1, name="wider", note="", hidden_size=128)
    shutil.rmtree(copied / "semantic")
    shutil.copytree(other / "semantic", copied / "semantic")
    with pytest.raises(CheckpointError, match="projects to 128"):
        load_checkpoint(str(copied))


@pytest.mark.parametrize("spec", ["no/such/folder", "/nowhere", "nothing"])
def test_unknown_specs(spec):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint_id(spec)


def test_what_another_process_found_is_not_looked_for_again(copied, monkeypatch):
    monkeypatch.setattr(model_files, "folder_revision", lambda _: pytest.fail("gigabytes are read"))
    assert load_checkpoint(str(copied), "f" * 40, known_id="tiny@0123").id == "tiny@0123"
    assert PromptFormat.load(str(copied), known_id="tiny@0123").id == "tiny@0123"
    assert load_codec(str(copied), known_id="codec@4567").id == "codec@4567"
    assert codec_info(str(copied), known_id="codec@4567").id == "codec@4567"


@pytest.mark.parametrize("revision", [None, "main", "v2", COMMIT[:12], COMMIT.upper(), COMMIT + "0"])
def test_a_hub_id_must_be_pinned_to_a_commit(monkeypatch, revision):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_args, **_kwargs: pytest.fail("asked"))
    with pytest.raises(CheckpointError, match="pin a commit of 40 hex digits"):
        checkpoint_id("someone/something", revision)


def test_hub_files(monkeypatch, copied):
    asked = []

    def snapshot_download(repo, revision, allow_patterns):
        asked.append((repo, revision, tuple(allow_patterns)))
        return str(copied)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert checkpoint_id("someone/something", COMMIT) == "someone/something@0123456789ab"
    assert load_checkpoint("someone/something", COMMIT).id == "someone/something@0123456789ab"
    assert asked == [
        ("someone/something", COMMIT, ("*.json",)),
        ("someone/something", COMMIT, ("*.json", "*.safetensors")),
    ]


def test_an_unreachable_hub_is_one_line(monkeypatch):
    def fail(*_args, **_kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match="no route to host") as caught:
        checkpoint_id("someone/something", COMMIT)
    assert "\n" not in str(caught.value)


def test_not_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        checkpoint_id(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(CheckpointError, match="not a JSON object"):
        checkpoint_id(str(tmp_path))


def test_building_leaves_the_random_generator_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_random_checkpoint(tmp_path, seed=1, name="x", note="", hidden_size=64)
    assert np.array_equal(torch.rand(3), expected)


def test_what_its_makers_recommend_is_how_it_is_sampled(copied):
    assert load_checkpoint(str(copied)).sampling == Sampling(1.0, 0.95, 50)
    (copied / "generation_config.json").write_text('{"temperature": 0.3, "top_k": 20, "do_sample": true}')
    assert load_checkpoint(str(copied)).sampling == Sampling(0.3, 0.95, 20)


@pytest.mark.parametrize("text", ["{", "[]", '{"temperature": "hot"}', '{"top_p": 2.0}'])
def test_a_recommendation_that_cannot_be_read(copied, text):
    (copied / "generation_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"generation_config\.json|cannot load the model"):
        load_checkpoint(str(copied))
