from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.audio import Waveform
from pipeline.errors import CheckpointError
from pipeline.evaluators import (
    is_silent,
    load_quality_model,
    load_speaker_encoder,
    load_transcriber,
    quality_model_id,
    speaker_encoder_id,
    transcriber_id,
)
from pipeline.evaluators.base import as_embedding, without_speech


def test_none_is_nobody():
    assert load_transcriber("none") is None
    assert load_speaker_encoder("none") is None
    assert load_quality_model("none") is None
    assert transcriber_id("none") == speaker_encoder_id("none") == quality_model_id("none") == "none"


def test_hub_ids_are_told_by_their_revision_alone():
    assert transcriber_id("openai/whisper-large-v3", "06f233f") == "openai/whisper-large-v3@06f233f"
    assert transcriber_id("openai/whisper-large-v3") is None
    assert speaker_encoder_id("microsoft/wavlm-base-plus-sv", "main") == "microsoft/wavlm-base-plus-sv@main"


@pytest.mark.parametrize("load", [load_transcriber, load_speaker_encoder, transcriber_id, speaker_encoder_id])
def test_unknown_demo_names_are_refused(load):
    with pytest.raises(CheckpointError, match="demo:sphinx: no such embedded evaluator"):
        load("demo:sphinx")


@pytest.mark.parametrize("load", [load_quality_model, quality_model_id])
def test_unknown_quality_models_are_refused(load):
    with pytest.raises(CheckpointError, match="utmos: no such quality model; there is dnsmos, and none"):
        load("utmos")


@pytest.mark.parametrize("load", [load_transcriber, load_speaker_encoder])
def test_a_folder_that_is_not_there(load, tmp_path):
    with pytest.raises(CheckpointError, match="absent: not loadable as") as caught:
        load(str(tmp_path / "absent"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [load_transcriber, load_speaker_encoder])
def test_a_folder_without_a_model(load, tmp_path):
    with pytest.raises(CheckpointError, match="not loadable as"):
        load(str(tmp_path))


def test_weights_that_are_missing_are_not_made_up(wavlm_folder, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(wavlm_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["projector.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights .* projector\.bias"):
        load_speaker_encoder(str(folder))


def test_another_architecture_is_refused(wavlm_folder, whisper_folder):
    with pytest.raises(CheckpointError):
        load_transcriber(str(wavlm_folder))
    with pytest.raises(CheckpointError):
        load_speaker_encoder(str(whisper_folder))


def test_pickled_weights_are_refused(wavlm_folder, tmp_path):
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(wavlm_folder, folder)
    weights = {name: torch.from_numpy(w) for name, w in load_file(folder / "model.safetensors").items()}
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors"):
        load_speaker_encoder(str(folder))


def test_content_hash_follows_the_content(tmp_path):
    def write(folder, config, weights):
        for name, content in (("config.json", config), ("model.safetensors", weights)):
            path = tmp_path / folder / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return transcriber_id(str(tmp_path / folder / "model"))

    first = write("a", config=b"ab", weights=b"c")
    assert first == write("b", weights=b"c", config=b"ab")
    assert first != write("c", config=b"a", weights=b"bc")
    assert first != write("d", config=b"ab", weights=b"C")
    (tmp_path / "a" / "model" / ".cache").write_bytes(b"left by a download")
    assert first == transcriber_id(str(tmp_path / "a" / "model"))


def test_silence_is_a_level():
    # a sine of amplitude A has the power A^2 / 2: 0.001 is -63 dBFS, 0.0001 is -83 dBFS
    sine = np.sin(np.arange(16_000) / 10.0).astype(np.float32)
    assert not is_silent(Waveform(0.001 * sine, 16_000))
    assert is_silent(Waveform(0.0001 * sine, 16_000))


def test_no_transcriber_is_shown_what_is_no_speech(tone, voices):
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    click = np.zeros(32_000, np.float32)
    click[16_000:16_100] = 0.9
    steady = "silent: no speech in the sound, which is steady, or shorter than a syllable"
    silent = [
        without_speech(Waveform(samples, 16_000)) for samples in (noise[:0], 1e-4 * noise, noise, click)
    ]
    assert [(one.text, one.unscored_reason) for one in silent] == [
        *[("", "silent: under -70 dBFS")] * 2,
        *[("", steady)] * 2,
    ]
    assert without_speech(tone(1.0)) is None
    assert without_speech(voices["slt-1.flac"][0]) is None


@pytest.mark.parametrize("vector", [[0.0, 0.0], [1.0, np.nan], [np.inf, 1.0]])
def test_an_embedding_without_direction_is_none(vector):
    embedding = as_embedding(np.array(vector, np.float32))
    assert embedding.vector is None
    assert embedding.unscored_reason
