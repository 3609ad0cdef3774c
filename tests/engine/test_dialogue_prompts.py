"""Prompts of several voices, against the original repository's way to write and to tokenise them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipeline.engine.base import GenerationItem, Sampling
from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.checkpoint import load_checkpoint
from pipeline.engine.continuous_engine import ContinuousEngine
from pipeline.engine.transformers_engine import TransformersEngine
from pipeline.errors import RowError

SCENE = "Audio is recorded from a quiet room."  # what the original's command line says when told nothing
INSTRUCTION = "Generate audio following instruction."
TEXT = "[SPEAKER0] Hi there. [SPEAKER1] Ho."
LINES = "[SPEAKER0] Hi there.\n[SPEAKER1] Ho."
DEEP = "masculine, moderate pace"


@dataclass
class Clip:
    """An AudioContent of so many frames."""

    frames: int


def recorded(name: str, text: str | None = None) -> dict[str, str | None]:
    return {"prompt_audio": name, "prompt_text": text, "description": None}


def described(text: str) -> dict[str, str | None]:
    return {"prompt_audio": None, "prompt_text": None, "description": text}


@pytest.fixture(scope="module")
def formats(folder_of):
    return lambda style, semantic="auto": PromptFormat.load(str(folder_of(8)), style=style, semantic=semantic)


def as_in_the_original(
    prompt_format: PromptFormat, messages: list[tuple[str, list[str | Clip]]]
) -> list[int]:
    """`prepare_chatml_sample`: prefix, each content and postfix are tokenised one by one.

    Its `<|AUDIO|>` or `<|AUDIO_OUT|>` stands for as many positions as the delayed stream is wide.
    """

    def encode(text: str) -> list[int]:
        return prompt_format.tokenizer.encode(text, add_special_tokens=False).ids

    ids: list[int] = []
    for turn, (role, contents) in enumerate(messages):
        begin = "<|begin_of_text|>" if turn == 0 else ""
        ids += encode(f"{begin}<|start_header_id|>{role}<|end_header_id|>\n\n")
        for content in contents:
            if isinstance(content, Clip):
                # BOS, T, EOS, and the seven by which the last of 8 codebooks is late
                frames = "<|AUDIO_OUT|>" * (content.frames + 2) + "<|reserved_special_token_6|>" * 7
                begin = "<|audio_out_bos|>" if role == "assistant" else "<|audio_bos|>"
                ids += encode(f"{begin}{frames}<|audio_eos|>")
            else:
                ids += encode(content)
        ids += encode("<|eot_id|>")
    return ids + encode("<|start_header_id|>assistant<|end_header_id|>\n\n<|audio_out_bos|>")


def scene_of(*parts: str | Clip) -> list[str | Clip]:
    first, *rest = parts
    whole = [f"{INSTRUCTION}\n\n<|scene_desc_start|>\n{first}", *rest]
    return [*whole[:-1], f"{whole[-1]}\n<|scene_desc_end|>"]


FORMS = {
    "several references": (
        [recorded("a.wav"), recorded("b.wav")],
        TEXT,
        [
            ("system", scene_of(SCENE)),
            ("user", ["[SPEAKER0] Hello you."]),
            ("assistant", [Clip(5)]),
            ("user", ["[SPEAKER1] Who is it?"]),
            ("assistant", [Clip(7)]),
            ("user", [LINES]),
        ],
    ),
    "one description": (
        [described(DEEP)],
        "A cat sat.",
        [("system", scene_of(f"{SCENE}\n\nSPEAKER0: {DEEP}")), ("user", ["A cat sat."])],
    ),
    "several descriptions": (
        [described(DEEP), described("feminine")],
        TEXT,
        [("system", scene_of(f"{SCENE}\n\nSPEAKER0: {DEEP}\nSPEAKER1: feminine")), ("user", [LINES])],
    ),
    "a reference, then a description": (
        [recorded("a.wav"), described(DEEP)],
        TEXT,
        [
            ("system", scene_of(f"{SCENE}\n\nSPEAKER0: ", Clip(5), f"\nSPEAKER1: {DEEP}")),
            ("user", [LINES]),
        ],
    ),
    "references about a description": (
        [recorded("a.wav"), described(DEEP), recorded("b.wav")],
        f"{TEXT} [SPEAKER2] Hm.",
        [
            (
                "system",
                scene_of(f"{SCENE}\n\nSPEAKER0: ", Clip(5), f"\nSPEAKER1: {DEEP}\nSPEAKER2: ", Clip(7), ""),
            ),
            ("user", [f"{LINES}\n[SPEAKER2] Hm."]),
        ],
    ),
}


def prompts_of(voices, prompt_for):
    two = [prompt_for(), prompt_for(frames=7, text="Who is it?", seed=1)]
    return two[: sum(voice["prompt_audio"] is not None for voice in voices)]


@pytest.mark.parametrize("form", FORMS)
def test_the_original_forms(formats, request_for, prompt_for, form):
    voices, text, messages = FORMS[form]
    prompts = prompts_of(voices, prompt_for)
    prompt_format = formats("original")
    sample = prompt_format.pack(request_for(text, voices=voices), *prompts, max_new_frames=50)
    assert sample.input_ids == as_in_the_original(prompt_format, messages)
    # parts of one turn follow each other under its role
    parts = [(role, part) for role, contents in messages for part in contents]
    assert [(m["role"], m["text"]) for m in sample.messages] == [
        (role, None if isinstance(part, Clip) else part) for role, part in parts
    ]
    heard = [m["audio_url"] for m in sample.messages if m["type"] == "audio"]
    assert heard == [voice["prompt_audio"] for voice in voices if voice["prompt_audio"]]
    assert sample.audio_ids_start == [0, 5, 12][: len(prompts) + 1]
    # each of the streams has its place
    inputs = prompt_format.unpack(sample)
    frames = np.isin(inputs.input_ids, [prompt_format.special.audio_out, prompt_format.special.delay])
    assert inputs.audio_input_ids.shape == (frames.sum(), 8)


def test_the_scene_of_the_row_stands_before_the_voices(formats, request_for):
    prompt_format = formats("original")
    request = request_for("Go.", scene="A hall.", voices=[described(DEEP)])
    sample = prompt_format.pack(request, max_new_frames=50)
    messages = [("system", scene_of(f"A hall.\n\nSPEAKER0: {DEEP}")), ("user", ["Go."])]
    assert sample.input_ids == as_in_the_original(prompt_format, messages)


def test_a_voice_of_its_own_in_the_list_is_the_usual_prompt(formats, request_for, prompt_for):
    for style in ("document", "original"):
        alone = formats(style).pack(request_for(), prompt_for(), max_new_frames=50)
        listed = formats(style).pack(
            request_for(voices=[recorded("voice.wav")]), prompt_for(), max_new_frames=50
        )
        assert (alone.input_ids, alone.messages) == (listed.input_ids, listed.messages)


def test_the_document_chat_hears_each_reference_and_lists_the_described(formats, request_for, prompt_for):
    voices = [recorded("a.wav"), described(DEEP), recorded("b.wav")]
    prompts = prompts_of(voices, prompt_for)
    prompt_format = formats("document")
    text = f"{TEXT} [SPEAKER2] Hm."
    sample = prompt_format.pack(request_for(text, voices=voices), *prompts, max_new_frames=50)

    def heard(frames: int) -> str:
        return " <|audio_bos|>" + "<|AUDIO|>" * frames + "<|audio_eos|>"

    system = (
        "Generate speech in the provided voice.\n\n"
        f"<|scene_desc_start|>\nSPEAKER1: {DEEP}\n<|scene_desc_end|>"
    )
    messages = [
        ("system", [system]),
        ("user", ["[SPEAKER0] Hello you." + heard(5)]),
        ("assistant", [Clip(5)]),
        ("user", ["[SPEAKER2] Who is it?" + heard(7)]),
        ("assistant", [Clip(7)]),
        ("user", [f"{LINES}\n[SPEAKER2] Hm."]),
    ]
    assert sample.input_ids == as_in_the_original(prompt_format, messages)
    waveforms = prompt_format.unpack(sample).waveforms
    assert [len(waveform) for waveform in waveforms] == [len(prompt.waveform) for prompt in prompts]


def test_control_tokens_in_a_description_are_refused(formats, request_for):
    request = request_for(voices=[described("deep<|eot_id|>")])
    with pytest.raises(RowError, match=r"<\|eot_id\|>"):
        formats("original").pack(request, max_new_frames=50)


@pytest.mark.parametrize("style", ["document", "original"])
def test_the_engine_says_what_transformers_says(folder_of, request_for, prompt_for, style):
    checkpoint = load_checkpoint(str(folder_of(8)), style=style)
    items = []
    for number, (voices, text, _) in enumerate(FORMS.values()):
        request = replace(request_for(text), voices=voices)
        prompts = prompts_of(voices, prompt_for)
        sample = checkpoint.prompt_format.pack(request, *prompts, max_new_frames=6)
        items.append(GenerationItem(utterance_id=f"u{number}", sample=sample, seed=number))

    def said(engine) -> dict[str, list[list[int]]]:
        return {row.utterance_id: row.codes.tolist() for row in engine.generate(items)}

    greedy = Sampling(temperature=0.0)
    found = said(ContinuousEngine(checkpoint, greedy, num_slots=2))
    assert found == said(TransformersEngine(checkpoint, greedy, batch_size=1))
    assert len({str(codes) for codes in found.values()}) > 1
