"""The voices of a row and who of them speaks in its text -> what is wrong with that. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.engine.dialogue import speaker_name, turns
from pipeline.manifest import Fault
from pipeline.manifest_columns import MAX_SPEAKERS, VOICE_FIELDS

VOICES = [
    tuple(f"{name}_speaker{number}" if number else name for name in VOICE_FIELDS)
    for number in range(MAX_SPEAKERS)
]
OTHER_VOICE_FIELDS = frozenset(name for names in VOICES for name in names) - {"ref", "ref_text"}


def num_voices(given: Collection[str]) -> int:
    """Up to the last one of which the row gives anything; there is always SPEAKER0."""
    named = [number for number, names in enumerate(VOICES) if not set(names).isdisjoint(given)]
    return max(named, default=0) + 1


def voices_of(fields: Mapping[str, Any]) -> list[dict[str, str | None]] | None:
    """`SynthesisRequest.voices`: None for a row that gives no more than a reference and its text."""
    if OTHER_VOICE_FIELDS.isdisjoint(fields):
        return None
    columns = ("prompt_audio", "prompt_text", "description")
    return [dict(zip(columns, map(fields.get, names), strict=True)) for names in VOICES[: num_voices(fields)]]


def voice_faults(given: Collection[str]) -> list[Fault]:
    """`given` are the fields in which anything stands. That SPEAKER0 has a voice is not asked here."""
    faults = []
    for number, (ref, ref_text, description) in enumerate(VOICES[: num_voices(given)]):
        if description in given and (ref in given or ref_text in given):
            other = ref if ref in given else ref_text
            faults.append(Fault(f"bad_{description}", f"'{description}' beside '{other}'; keep one of them"))
        elif number and description not in given and ref not in given:
            what = f"{speaker_name(number)} has no voice"
            faults.append(Fault("speaker_without_voice", f"{what}; fill '{ref}' or '{description}'"))
    return faults


def turn_faults(text: str, num_voices: int) -> list[Fault]:
    """Every speaker has a voice, every voice of several speaks, and every word has a speaker."""
    told = turns(text)
    names = [speaker_name(number) for number in range(num_voices)]
    speaking = list(dict.fromkeys(turn.speaker for turn in told if turn.speaker is not None))
    faults = []
    if unknown := [name for name in speaking if name not in names]:
        most = f"the last one that can have one is {speaker_name(MAX_SPEAKERS - 1)}"
        what = f"'text' has {_tags(unknown)} and the row no such voice"
        faults.append(Fault("speaker_without_voice", f"{what}; fill its columns ({most})"))
    if num_voices == 1:
        return faults
    if silent := [name for name in names if name not in speaking]:
        what = f"'text' has no {_tags(silent)}"
        faults.append(Fault("speaker_never_speaks", f"{what}; write who says what, or drop the voice"))
    if speaking and told[0].speaker is None:
        faults.append(Fault("text_without_speaker", "'text' begins without a tag; write who says it"))
    return faults


def _tags(names: Collection[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)
