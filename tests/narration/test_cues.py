"""Cues by hand, and the rules that hold for any text: nothing lost, no line too wide, the segment's own time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.narration.cues import cue_texts, cues_of
from pipeline.narration.placing import Placed
from pipeline.narration.script import Segment
from pipeline.narration.takes import Heard, Take
from pipeline.programme.subtitles import Cue

RATE = 1000


def placed(text: str, start: int, length: int, voice: str = "default") -> Placed:
    heard = Heard(Segment("a", 1, text, text, voice, 0.5), Take(0, {}), None)
    return Placed(heard, start, 50, 50 + length, 500)


@pytest.mark.parametrize(
    ("language", "text", "cues"),
    [
        # 42 characters, 43
        ("en", "a" * 20 + " " + "b" * 21, ["a" * 20 + " " + "b" * 21]),
        ("en", "a" * 20 + " " + "b" * 22, ["a" * 20 + "\n" + "b" * 22]),
        ("en", "a" * 42 + " " + "b" * 42, ["a" * 42 + "\n" + "b" * 42]),
        # the sentence ends before the clause that is nearer to the middle
        (
            "en",
            "The ferry left the harbor early. Nobody watched it go, not even the old man who sells the tickets.",
            [
                "The ferry left the harbor early.",
                "Nobody watched it go, not even\nthe old man who sells the tickets.",
            ],
        ),
        (
            "en",
            "Nobody watched the ferry as it left, because the old man who sells the tickets was asleep at home",
            [
                "Nobody watched the ferry as it left,",
                "because the old man who sells\nthe tickets was asleep at home",
            ],
        ),
        # neither sentence nor clause: words, evenly; "Yes." alone would flash by
        (
            "en",
            "Yes. Nobody watched the ferry as it left because the man who sells the tickets was asleep at home",
            [
                "Yes. Nobody watched the\nferry as it left because",
                "the man who sells the\ntickets was asleep at home",
            ],
        ),
        # lines, too, are parted at a clause; what stands at the very end is no place but the last
        ("en", "It was late, and the old man who sold the tickets slept", ["It was late,\nand the old man who sold the tickets slept"]),
        ("en", "a" * 42 + " b", ["a" * 42 + "\nb"]),
        ("en", "x" * 100, ["x" * 25] * 4),  # 50 are more than a line, and have no place for a second
        # 21 characters are a line; no line begins with what closes
        ("zh", "渡" * 20 + "。", ["渡" * 20 + "。"]),
        ("zh", "渡" * 21 + "。", ["渡" * 11 + "\n" + "渡" * 10 + "。"]),
        ("zh", "渡" * 25 + "，" + "海" * 25 + "。", ["渡" * 13 + "\n" + "渡" * 12 + "，", "海" * 13 + "\n" + "海" * 12 + "。"]),
        ("ko", "가" * 20 + " " + "나" * 21, ["가" * 20 + " " + "나" * 21]),  # it has spaces
        # a no-break space parts no line
        ("fr", "a" * 30 + " " + "b" * 10 + "\u00a0!", ["a" * 30 + "\n" + "b" * 10 + "\u00a0!"]),
    ],
)  # fmt: skip
def test_texts(language: str, text: str, cues: list[str]) -> None:
    assert cue_texts(text, language) == cues


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="ab é.,;—!?「」渡海。、ไทย가\u00a0", min_size=1, max_size=300),
    st.sampled_from(["en", "ja"]),
)
def test_nothing_is_lost_and_no_line_is_too_wide(text: str, language: str) -> None:
    cues = cue_texts(text, language)
    assert "".join("".join(cues).split()) == "".join(text.split())
    for cue in cues:
        lines = cue.split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)
        assert all(len(line) <= 21 for line in lines if set(line) <= set("渡海。、「」ไทย"))


def test_cues_share_the_time_of_their_segment() -> None:
    """26 and 51 of 77 characters, blanks not counted, over 3.85 s from 2 s on."""
    text = "a" * 25 + ". " + "B" + "b" * 24 + " " + "c" * 25 + "."
    assert cue_texts(text, "en") == ["a" * 25 + ".", "B" + "b" * 24 + "\n" + "c" * 25 + "."]
    first, second = cues_of([placed(text, 2000, 3850)], RATE, "en")
    assert (first.start_s, second.end_s) == (2.0, 5.85)
    assert first.end_s == second.start_s == pytest.approx(2.0 + 3.85 * 26 / 77)


def test_the_narrator_has_no_name() -> None:
    cues = cues_of([placed("A.", 0, 500), placed("B.", 1000, 500, "BEN")], RATE, "en")
    assert cues == [Cue(0.0, 0.5, "A."), Cue(1.0, 1.5, "B.", "BEN")]
    assert cues_of([placed("B.", 0, 500, "BEN")], RATE, "en") == [Cue(0.0, 0.5, "B.")]
