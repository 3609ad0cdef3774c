"""Speaker tags in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.dialogue import Turn, one_turn_a_line, spoken_text, turns
from pipeline.engine.frame_budget import estimate_duration_s

WORDS = st.text(st.sampled_from("ab [],.1"), min_size=1).map(lambda s: " ".join(s.split())).filter(bool)


@pytest.mark.parametrize(
    ("text", "expected", "spoken", "lines"),
    [
        ("Hi.", [Turn(None, "Hi.")], "Hi.", "Hi."),
        ("[laugh] Hi. [SPEAKER]", [Turn(None, "[laugh] Hi. [SPEAKER]")], "[laugh] Hi. [SPEAKER]", None),
        ("[SPEAKER0] Hi.", [Turn("SPEAKER0", "Hi.")], "Hi.", "[SPEAKER0] Hi."),
        (
            "[SPEAKER0] Hi. [SPEAKER1] Ho.[SPEAKER0] Hm",
            [Turn("SPEAKER0", "Hi."), Turn("SPEAKER1", "Ho."), Turn("SPEAKER0", "Hm")],
            "Hi. Ho. Hm",
            "[SPEAKER0] Hi.\n[SPEAKER1] Ho.\n[SPEAKER0] Hm",
        ),
        (
            "Oh [SPEAKER1] Ho.",
            [Turn(None, "Oh"), Turn("SPEAKER1", "Ho.")],
            "Oh Ho.",
            "Oh\n[SPEAKER1] Ho.",
        ),
    ],
)
def test_turns(text: str, expected: list[Turn], spoken: str, lines: str | None) -> None:
    assert turns(text) == expected
    assert spoken_text(text) == spoken
    assert one_turn_a_line(text) == (lines or text)


@given(st.lists(st.tuples(st.integers(0, 12), WORDS), min_size=1))
def test_what_is_written_as_turns_is_read_as_turns(said: list[tuple[int, str]]) -> None:
    text = " ".join(f"[SPEAKER{number}] {words}" for number, words in said)
    assert turns(text) == [Turn(f"SPEAKER{number}", words) for number, words in said]
    assert spoken_text(text) == " ".join(words for _, words in said)
    assert one_turn_a_line(text) == "\n".join(f"[SPEAKER{number}] {words}" for number, words in said)


@given(st.text())
def test_a_text_without_tags_stays_as_it_is(text: str) -> None:
    untagged = text.replace("[SPEAKER", "")
    assert spoken_text(untagged) == one_turn_a_line(untagged) == untagged


def test_tags_take_no_time() -> None:
    tagged, plain = "[SPEAKER0] It is late. [SPEAKER1] So it is.", "It is late. So it is."
    assert estimate_duration_s(tagged, "en") == estimate_duration_s(plain, "en")
