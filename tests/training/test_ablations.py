"""An ablation takes away one thing and leaves a prompt that the model can still be asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dummies import mini_format

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.standin import build_random_checkpoint
from pipeline.records import SpeakerPrompt, SynthesisRequest
from pipeline.training.ablations import ablate_codes, ablate_model, ablate_sample, without_labels

K = 3


@pytest.fixture(scope="module")
def prompt_format(tmp_path_factory: pytest.TempPathFactory) -> PromptFormat:
    return mini_format(tmp_path_factory.mktemp("mini"), K)


def packed(prompt_format: PromptFormat, *, frames: int = 30, labels: bool = False, heard: bool = True):
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 1024, (K, 30)).astype(np.uint16)
    waveform = np.ones(30 * 640 if heard else 0, np.int16)
    prompt = SpeakerPrompt("0" * 32, "A reference.", codes[:, :frames], waveform, 1.2, None)
    request = SynthesisRequest(1, "u", None, prompt.prompt_text, "A target.", "en", 1)
    label = rng.integers(0, 1024, (K, 20)).astype(np.uint16) if labels else None
    return prompt_format.pack(request, prompt, max_new_frames=20, label_codes=label)


def same(a, b) -> bool:
    arrays = all(
        np.array_equal(getattr(a, f), getattr(b, f)) for f in ("audio_ids_concat", "audio_waveforms_concat")
    )
    lists = all(
        getattr(a, f) == getattr(b, f)
        for f in ("input_ids", "audio_ids_start", "audio_waveforms_start", "label_ids")
    )
    return arrays and lists


def test_without_labels_is_what_is_packed_without(prompt_format: PromptFormat) -> None:
    assert same(without_labels(packed(prompt_format, labels=True), prompt_format), packed(prompt_format))
    assert same(without_labels(packed(prompt_format), prompt_format), packed(prompt_format))


def test_no_codes_is_a_reference_of_no_frames(prompt_format: PromptFormat) -> None:
    sample = packed(prompt_format)
    ablated = ablate_sample(sample, "no_codes", sample.audio_ids_concat, prompt_format)
    assert same(ablated, packed(prompt_format, frames=0))


def test_no_reference_leaves_nothing_to_hear_by_either_way(prompt_format: PromptFormat) -> None:
    sample = packed(prompt_format)
    ablated = ablate_sample(sample, "no_reference", sample.audio_ids_concat, prompt_format)
    special = prompt_format.special
    # the stream's begin and end and the delay, and no placeholder of anything that was heard
    assert ablated.input_ids.count(special.audio_out) == 2
    assert ablated.input_ids.count(special.delay) == K - 1
    assert not {special.audio_bos, special.audio} & {*ablated.input_ids}
    assert same(ablated, ablate_sample(packed(prompt_format, frames=0), "no_semantic", None, prompt_format))


def test_other_codes_are_as_if_packed_with_them(prompt_format: PromptFormat) -> None:
    sample = packed(prompt_format)
    ablated = ablate_sample(sample, "other_codes", sample.audio_ids_concat[:, :17], prompt_format)
    assert same(ablated, packed(prompt_format, frames=17))


def test_no_semantic_has_no_placeholders_and_nothing_to_hear(prompt_format: PromptFormat) -> None:
    sample = packed(prompt_format)
    ablated = ablate_sample(sample, "no_semantic", sample.audio_ids_concat, prompt_format)
    special = prompt_format.special
    assert not {special.audio, special.audio_bos} & set(ablated.input_ids)
    # 30 frames, and their bos and eos
    assert len(ablated.input_ids) == len(sample.input_ids) - 32
    assert len(ablated.audio_waveforms_concat) == 0
    assert len(prompt_format.unpack(ablated).waveforms) == 0


def test_no_delay_leaves_each_codebook_as_late_as_it_was_spoken() -> None:
    codes = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint16)
    assert ablate_codes(codes, "no_delay").tolist() == [[1, 2, 3, 4], [8, 5, 6, 7]]
    assert ablate_codes(codes, "none") is codes


def test_no_audio_ffn_speaks_by_the_text_branch(tmp_path: Path) -> None:
    from pipeline.engine.checkpoint import load_checkpoint

    build_random_checkpoint(tmp_path, seed=1, name="r", note="n", num_codebooks=2, hidden_size=64)
    model = load_checkpoint(str(tmp_path)).model
    layer = model.model.layers[0]
    assert not layer.audio_mlp.up_proj.weight.equal(layer.mlp.up_proj.weight)
    ablate_model(model, "no_audio_ffn")
    assert layer.audio_mlp.up_proj.weight.equal(layer.mlp.up_proj.weight)
