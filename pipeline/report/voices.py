"""Who speaks in a row, as the page shows it."""

from __future__ import annotations

from typing import Any

from pipeline.engine.dialogue import speaker_name
from pipeline.records import Row
from pipeline.views import file_stem, voice_name


def references_of(row: Row) -> list[str | None]:
    """The URI of each voice's reference, None for a voice that is only described."""
    return [each["prompt_audio"] for each in row["voices"] or [row]]


def voices_of(row: Row) -> list[dict[str, Any]]:
    """What is known of each voice of a row that has several, or one that is only described; else nothing.

    Keys, where there is something to say: `speaker` (the tag, of several), `name`, `description`, `prompt`
    (what the reference says), `promptHeard` (True: as a transcriber heard it).
    """
    voices = row["voices"] or []
    first = next((i for i, each in enumerate(voices) if each["prompt_audio"]), None)
    made = []
    for i, voice in enumerate(voices):
        named = row["speaker"] if i == 0 else None  # as `ref` and `ref_text`, it is of the first
        heard = row["prompt_text_heard"] if i == first and not voice["prompt_text"] else None
        known = {
            "speaker": speaker_name(i) if len(voices) > 1 else None,
            "name": named or file_stem(voice["prompt_audio"]),
            "description": voice["description"],
            "prompt": voice["prompt_text"] or heard,
            "promptHeard": bool(heard),
        }
        made.append({key: value for key, value in known.items() if value})
    return made


def voice_names(row: Row) -> list[str]:
    """By which its voices are found: names, and descriptions of those that have none."""
    voices = voices_of(row)
    found = [each.get("name") or each.get("description", "") for each in voices] or [voice_name(row)]
    return list(dict.fromkeys(filter(None, found)))
