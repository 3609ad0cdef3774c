from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from transformers import HiggsAudioV2Processor

from pipeline.audio import from_int16
from pipeline.codecs import codec_info
from pipeline.engine import standin
from pipeline.engine.chat_prompt import PromptFormat, contains_special_token
from pipeline.engine.delay_pattern import build_delay_pattern
from pipeline.errors import CheckpointError, RowError

DELAY = "<|reserved_special_token_6|>"


@pytest.fixture(scope="module")
def formats(folder_of):
    """Prompt formats by style and semantic mode, of the checkpoint with 8 codebooks."""
    return lambda style="document", semantic="auto": PromptFormat.load(
        str(folder_of(8)), style=style, semantic=semantic
    )


def clip(num_codebooks: int, frames: int) -> str:
    """What transformers' processor writes for a clip: its stream [BOS] + codes + [EOS], delayed, is W wide."""
    width = frames + 2 + num_codebooks - 1
    tokens = "<|AUDIO_OUT|>" * (width - (num_codebooks - 1)) + DELAY * (num_codebooks - 1)
    return f"<|audio_out_bos|>{tokens}<|audio_eos|>"


def turn(role: str, content: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>"


ASK = "<|start_header_id|>assistant<|end_header_id|>\n\n<|audio_out_bos|>"


def written(prompt_format: PromptFormat, text: str) -> list[int]:
    return prompt_format.tokenizer.encode(text, add_special_tokens=False).ids


def test_document_style_with_the_semantic_pathway(formats, request_for, prompt_for):
    sample = formats().pack(request_for("A cat sat."), prompt_for(frames=5), max_new_frames=50)
    expected = (
        "<|begin_of_text|>"
        + turn("system", "Generate speech in the provided voice.")
        + turn("user", "Hello you. <|audio_bos|>" + "<|AUDIO|>" * 5 + "<|audio_eos|>")
        + turn("assistant", clip(8, 5))
        + turn("user", "A cat sat.")
        + ASK
    )
    assert sample.input_ids == written(formats(), expected)
    assert sample.messages == [
        {
            "role": "system",
            "type": "text",
            "text": "Generate speech in the provided voice.",
            "audio_url": None,
        },
        {
            "role": "user",
            "type": "text",
            "text": "Hello you. <|audio_bos|><|AUDIO|><|audio_eos|>",
            "audio_url": None,
        },
        {"role": "assistant", "type": "audio", "text": None, "audio_url": "voice.wav"},
        {"role": "user", "type": "text", "text": "A cat sat.", "audio_url": None},
    ]
    assert sample.audio_ids_start == [0, 5]
    assert sample.audio_waveforms_start == [0, 640 * 5 - 1]
    assert sample.audio_sample_rate == 16_000
    assert sample.label_ids is None


def test_document_style_without_it_leaves_the_placeholder_out_of_the_ids(formats, request_for, prompt_for):
    prompt_format = formats(semantic="off")
    sample = prompt_format.pack(request_for(scene="A hall."), prompt_for(), max_new_frames=50)
    system = "Generate speech in the provided voice.\n\n<|scene_desc_start|>\nA hall.\n<|scene_desc_end|>"
    expected = (
        "<|begin_of_text|>"
        + turn("system", system)
        + turn("user", "Hello you.")
        + turn("assistant", clip(8, 5))
        + turn("user", "A cat sat.")
        + ASK
    )
    assert sample.input_ids == written(prompt_format, expected)
    assert sample.messages[1]["text"] == "Hello you. <|audio_bos|><|AUDIO|><|audio_eos|>"
    assert sample.messages[0]["text"] == system
    assert sample.audio_waveforms_start == [0]
    assert len(sample.audio_waveforms_concat) == 0


@pytest.mark.parametrize("scene", [None, "Rain on a roof."])
def test_original_style(formats, request_for, prompt_for, scene):
    prompt_format = formats(style="original")
    sample = prompt_format.pack(request_for(scene=scene), prompt_for(), max_new_frames=50)
    described = scene or "Audio is recorded from a quiet room."
    expected = (
        "<|begin_of_text|>"
        + turn(
            "system",
            f"Generate audio following instruction.\n\n<|scene_desc_start|>\n{described}\n<|scene_desc_end|>",
        )
        + turn("user", "Hello you.")
        + turn("assistant", clip(8, 5))
        + turn("user", "A cat sat.")
        + ASK
    )
    assert sample.input_ids == written(prompt_format, expected)
    assert sample.messages[1]["text"] == "Hello you."


@pytest.mark.parametrize("num_codebooks", [8, 12])
def test_placeholders_are_those_of_the_processor(folder_of, request_for, prompt_for, num_codebooks):
    prompt_format = PromptFormat.load(str(folder_of(num_codebooks)))
    prompt = prompt_for(num_codebooks, frames=9)
    sample = prompt_format.pack(request_for(), prompt, max_new_frames=50)
    frames = prompt_format.unpack(sample).audio_input_ids
    quantizers = torch.nn.Module()
    quantizers.config = torch.nn.Module()
    quantizers.config.num_quantizers = num_codebooks
    processor = torch.nn.Module()
    processor.audio_tokenizer, processor.audio_token, processor.audio_delay_token = quantizers, "A", "D"
    theirs = HiggsAudioV2Processor.get_audio_tokens(processor, len(frames))
    names = {prompt_format.special.audio_out: "A", prompt_format.special.delay: "D"}
    assert "".join(names[i] for i in sample.input_ids if i in names) == theirs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("say <|eot_id|> now", "<|eot_id|>"),
        ("<|start_header_id|>system", "<|start_header_id|>"),
        ("<|no_such_token|>", "<|no_such_token|>"),
        ("a < b | c > d", None),
        ("<| spaced |>", None),
        ("<SE>[Laughter]</SE>", None),
    ],
)
def test_contains_special_token(text, found):
    assert contains_special_token(text) == found


@pytest.mark.parametrize("where", ["target", "reference", "scene"])
def test_control_tokens_in_user_text_are_refused(formats, request_for, prompt_for, where):
    bad = "hi<|eot_id|>"
    request = request_for(bad if where == "target" else "hi", scene=bad if where == "scene" else None)
    prompt = prompt_for(text=bad if where == "reference" else "hi")
    with pytest.raises(RowError, match=r"<\|eot_id\|>") as caught:
        formats().pack(request, prompt, max_new_frames=50)
    assert caught.value.code == "text_has_special_token"


def test_a_tokenizers_own_control_tokens_are_refused_whatever_they_look_like(
    formats, request_for, prompt_for
):
    prompt_format = formats()
    prompt_format.tokenizer.add_special_tokens([AddedToken("[STOP]", special=True)])
    with pytest.raises(RowError, match=r"\[STOP\]"):
        prompt_format.pack(request_for("go [STOP] go"), prompt_for(), max_new_frames=50)


def test_sound_event_marks_are_tokens_that_users_may_write(formats, request_for, prompt_for):
    prompt_format = formats()
    sample = prompt_format.pack(request_for("<SE>[Laughter]</SE>"), prompt_for(), max_new_frames=50)
    assert prompt_format.tokenizer.token_to_id("<SE>") in sample.input_ids


def test_a_prompt_beyond_the_models_positions_is_refused(formats, request_for, prompt_for):
    prompt_format = formats(semantic="off")
    sample = prompt_format.pack(request_for(), prompt_for(), max_new_frames=50)
    # the steps of a generation: its frames, the all-BOS one before them and K - 1 for the delay
    room = 4096 - len(sample.input_ids) - 8
    prompt_format.pack(request_for(), prompt_for(), max_new_frames=room)
    with pytest.raises(RowError, match="room for 4096") as caught:
        prompt_format.pack(request_for(), prompt_for(), max_new_frames=room + 1)
    assert caught.value.code == "prompt_too_long"


def test_a_reference_longer_than_whisper_reads_is_refused(formats, request_for, prompt_for):
    long = dataclasses.replace(prompt_for(), waveform=np.zeros(30 * 16_000 + 1, np.int16), duration_s=30.1)
    with pytest.raises(RowError, match="reads 30 s"):
        formats().pack(request_for(), long, max_new_frames=50)
    formats(semantic="off").pack(request_for(), long, max_new_frames=50)


@pytest.mark.parametrize("codes", [np.zeros((12, 5), np.uint16), np.full((8, 5), 1024, np.uint16)])
def test_codes_of_another_codec_are_refused(formats, request_for, prompt_for, codes):
    with pytest.raises(CheckpointError, match="8 codebooks of 1024"):
        formats().pack(request_for(), dataclasses.replace(prompt_for(), codes=codes), max_new_frames=50)


def test_training_labels(formats, request_for, prompt_for):
    prompt_format = formats()
    target = prompt_for(frames=3, seed=1).codes
    asked = prompt_format.pack(request_for(), prompt_for(), max_new_frames=50)
    sample = prompt_format.pack(
        request_for(audio_uri="said.wav"), prompt_for(), max_new_frames=50, label_codes=target
    )
    # the question, then what follows `<|audio_out_bos|>`
    rest = written(prompt_format, clip(8, 3) + "<|eot_id|>")[1:]
    assert sample.input_ids == asked.input_ids + rest
    learned = {
        i: prompt_format.tokenizer.id_to_token(label)
        for i, label in enumerate(sample.label_ids)
        if label != -100
    }
    start, end = len(asked.input_ids) - 1, len(sample.input_ids)
    assert learned == {start: "<|audio_out_bos|>", end - 2: "<|audio_eos|>", end - 1: "<|eot_id|>"}
    assert len(sample.label_ids) == end
    assert np.array_equal(sample.label_audio_ids, target)
    assert sample.audio_ids_start == [0, 5, 8]
    assert sample.messages[-1]["audio_url"] == "said.wav"


def test_unpack_gives_what_the_ids_have_room_for(formats, request_for, prompt_for):
    prompt_format = formats()
    prompt, target = prompt_for(), prompt_for(frames=3, seed=1).codes
    inputs = prompt_format.unpack(
        prompt_format.pack(request_for(), prompt, max_new_frames=50, label_codes=target)
    )
    both = [build_delay_pattern(codes, 1024, 1025).T for codes in (prompt.codes, target)]
    assert np.array_equal(inputs.audio_input_ids, np.concatenate(both))
    places = np.isin(inputs.input_ids, [prompt_format.special.audio_out, prompt_format.special.delay])
    assert places.sum() == len(inputs.audio_input_ids)
    assert np.array_equal(inputs.waveforms[0], from_int16(prompt.waveform))


def test_ids_come_from_the_checkpoint(tmp_path, monkeypatch, formats, request_for, prompt_for):
    monkeypatch.setattr(standin, "SPECIAL_TOKENS", tuple(reversed(standin.SPECIAL_TOKENS)))
    standin.build_random_checkpoint(tmp_path, seed=1, name="other-ids", note="", hidden_size=64)
    other, usual = PromptFormat.load(str(tmp_path)), formats()
    assert other.special != usual.special
    theirs = other.pack(request_for(), prompt_for(), max_new_frames=50).input_ids
    ours = usual.pack(request_for(), prompt_for(), max_new_frames=50).input_ids
    assert theirs != ours
    assert [other.tokenizer.id_to_token(i) for i in theirs] == [usual.tokenizer.id_to_token(i) for i in ours]


def copied_without_weights(folder, target):
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors"))
    return target


def test_loads_without_weights(tmp_path, folder_of):
    folder = copied_without_weights(folder_of(12), tmp_path / "configs")
    prompt_format = PromptFormat.load(str(folder))
    assert (prompt_format.num_codebooks, prompt_format.num_codes) == (12, 1024)
    assert codec_info(str(folder)).num_codebooks == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "higgs_audio"}, "must be converted"),
        ({"audio_token_id": 5}, "not of one checkpoint"),
    ],
)
def test_configs_that_do_not_fit_are_refused(tmp_path, folder_of, change, message):
    folder = copied_without_weights(folder_of(8), tmp_path / "configs")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match=message):
        PromptFormat.load(str(folder))


def test_missing_pathway_and_missing_tokenizer_are_named(tmp_path, folder_of):
    folder = copied_without_weights(folder_of(8), tmp_path / "configs")
    shutil.rmtree(folder / "semantic")
    assert not PromptFormat.load(str(folder)).hears_reference
    with pytest.raises(CheckpointError, match="no semantic"):
        PromptFormat.load(str(folder), semantic="on")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        PromptFormat.load(str(folder))
