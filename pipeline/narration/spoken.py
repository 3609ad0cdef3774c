"""A text as it is spoken: the lexicon's words, numbers in words, sounds in the model's marks. Pure.

Only what a reader would say otherwise than it is written is changed; sentences and their marks stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from roman_numerals import InvalidRomanNumeralError, RomanNumeral

from pipeline.languages import primary_subtag
from pipeline.narration.english import REGNAL_NAMES
from pipeline.narration.lexicon import Lexicon, respeller
from pipeline.narration.numerals import number_speaker
from pipeline.narration.sound_tags import SOUND_TAGS, parted_at_sounds

_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)([^_]+)(?<=\S)_(?!\w)")  # of plain text
_NUMBERED = re.compile(r"(?:(\w+)\s+)?([IVXLCDM]+)(?=[\s.:,—–-]|$)")  # `Chapter IV. The Storm`, `IV`


def spoken_form(language: str, lexicon: Lexicon, *, numbers: bool = True) -> Callable[[str], str]:
    """What turns texts of a language (BCP 47) into what is to be said. `numbers`: whether in words."""
    respell = respeller(lexicon, primary_subtag(language))
    speak_numbers = number_speaker(language) if numbers else None

    def speak(part: str) -> str:
        if part in SOUND_TAGS:
            return SOUND_TAGS[part]
        said = respell(_EMPHASIS.sub(r"\1", part))
        return said if speak_numbers is None else speak_numbers(said)

    return lambda text: "".join(map(speak, parted_at_sounds(text)))


def with_arabic_number(heading: str, language: str) -> str:
    """`Chapter IV` as `Chapter 4`; a heading in which no Roman number stands stays as it is."""
    match = _NUMBERED.match(heading)
    if language.lower().startswith("en") and match and match[1] in REGNAL_NAMES:
        return heading  # `Louis XIV` is no chapter
    if match is None or (match[1] is None and len(match[2]) < len(heading.rstrip("."))):
        return heading  # `I, Claudius`
    try:
        number = int(RomanNumeral.from_string(match[2]))
    except InvalidRomanNumeralError:
        return heading
    return f"{heading[: match.start(2)]}{number}{heading[match.end(2) :]}"
