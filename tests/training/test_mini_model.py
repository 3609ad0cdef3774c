"""The tokenizer spells what users write, and the folder is one that prompts can be made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.chat_prompt import PromptFormat
from pipeline.engine.special_tokens import contains_special_token, encode_user_text
from pipeline.errors import RowError
from pipeline.records import SpeakerPrompt, SynthesisRequest
from pipeline.training.mini_model import mini_tokenizer, new_mini_folder

TOKENIZER = mini_tokenizer()


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "piece", ["system", "user", "assistant", "\n\n", "\n\nGenerate speech in the provided voice."]
)
def test_the_frame_of_the_chat_is_single_tokens(piece: str) -> None:
    assert len(ids(piece)) == 1


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("The user asks.", "ðə juzɝ æsks."),
        ("users", "juzɝz"),
        ("a system", "ə sɪstəm"),
        ("Assistant", "əsɪstənt"),
        ("one\n\ntwo", "wʌn\n\ntu"),
        (" user", " juzɝ"),
    ],
)
def test_what_users_write_is_spelled_as_it_sounds(text: str, phones: str) -> None:
    assert len(ids(text)) == len(phones)
    assert TOKENIZER.decode(ids(text)) == phones


def test_a_text_that_is_a_role_is_spelled_behind_the_blank_line() -> None:
    assert len(encode_user_text(TOKENIZER, "user", ("\n\n", ""))) == 1 + 4


def test_what_is_no_english_letter_encodes_by_its_bytes() -> None:
    assert len(ids("東京🎉")) == 3 + 3 + 4
    assert TOKENIZER.decode(ids("東京🎉")) == "東京🎉"
    assert ids("Café") == ids("cafe")


def test_no_text_can_name_a_token_of_ours() -> None:
    assert ids("\uf001") == ids("") == []  # the header's "user"
    assert ids("s\ue020n") == ids("sn")


def test_special_tokens_are_refused_in_users_text() -> None:
    assert contains_special_token("a <|eot_id|>") == "<|eot_id|>"
    with pytest.raises(RowError, match="eot_id"):
        encode_user_text(TOKENIZER, "a <|eot_id|>")
    assert len(ids("<|eot_id|><|AUDIO|>")) == 2


def test_a_prompt_costs_few_positions(tmp_path: Path) -> None:
    new_mini_folder(tmp_path, 4, note="for a test")
    prompt_format = PromptFormat.from_folder(tmp_path, "mini", style="document", semantic="auto")
    assert (prompt_format.num_codebooks, prompt_format.num_codes) == (4, 1024)
    assert prompt_format.max_semantic_frames == 250  # ten seconds at 25 Hz
    prompt = SpeakerPrompt(
        "0" * 32, "Hello.", np.zeros((4, 50), np.uint16), np.zeros(32_000, np.int16), 2.0, None
    )
    request = SynthesisRequest(1, "u", None, "Hello.", "A user.", "en", 1)
    sample = prompt_format.pack(request, prompt, max_new_frames=50, label_codes=np.ones((4, 25), np.uint16))
    # begin_of_text; headers of 3 in 5 turns and eot; instruction; reference text with its blank line, space
    # and 50 frames heard between bos and eos; its clip with blank line, bos, T + K + 1, eos; the target alike
    heard, clip, target = 1 + 5 + 1 + 52, 2 + 55 + 1, 2 + 30 + 1
    assert len(sample.input_ids) == 1 + 5 * 4 + 1 + heard + clip + (1 + 7) + target
