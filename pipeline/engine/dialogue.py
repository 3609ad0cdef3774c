"""Who says what in a text: `[SPEAKER0] ... [SPEAKER1] ...`, the tags of the original repository. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# as in the original's examples/generation.py, which reads any number of digits
_TAG = re.compile(r"\[(SPEAKER[0-9]+)\]")
_BEFORE_TAG = re.compile(r"(?<=\S)\s*(?=\[SPEAKER[0-9]+\])")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says at a stretch; `speaker` (`SPEAKER0`) is None for what stands before any tag."""

    speaker: str | None
    text: str

    def __str__(self) -> str:
        return self.text if self.speaker is None else f"[{self.speaker}] {self.text}"


def speaker_name(number: int) -> str:
    return f"SPEAKER{number}"


def turns(text: str) -> list[Turn]:
    """The turns in order; a text without tags is one turn of nobody, as it is."""
    first, *rest = _TAG.split(text)
    if not rest:
        return [Turn(None, text)]
    told = [Turn(name, said.strip()) for name, said in zip(rest[::2], rest[1::2], strict=True)]
    return [Turn(None, first.strip()), *told] if first.strip() else told


def spoken_text(text: str) -> str:
    """What is to be heard: the text without its tags."""
    return " ".join(turn.text for turn in turns(text) if turn.text or turn.speaker is None)


def one_turn_a_line(text: str) -> str:
    """The text as the model was trained to read it; one without tags stays as it is."""
    return _BEFORE_TAG.sub("\n", text)
