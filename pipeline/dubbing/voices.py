"""Who speaks with which voice: a TOML table per speaker, in a file of the job's.

[ANNA]                       # the speaker as the subtitles write it, in any case
ref = "voices/anna.flac"     # relative to this file, or a URI
ref_text = "The ferry leaves the harbor at dawn."
consent_id = "2026-017"      # where the job requires one

[BEN]                        # cut from the original's sound
from = "0:01:12.5"
to = "0:01:19"

[default]                    # cues without a speaker
ref = "voices/narrator.flac"
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError
from pipeline.programme.subtitles import Cue

DEFAULT = "default"
_TEXTS = ("ref", "ref_text", "consent_id")
_KEYS = (*_TEXTS, "from", "to")
_CLOCK = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,2}):)?(\d{1,5}(?:[.,]\d{1,9})?)")


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker's reference: a file, or from `start_s` to `end_s` of the original."""

    speaker: str
    ref: str | None = None
    ref_text: str | None = None
    consent_id: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0


def read_voices(toml: bytes, name: str) -> dict[str, Voice]:
    """By speaker, casefolded. Raises ConfigError that names the speaker and the key."""
    try:
        tree = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{name}: not TOML ({error}); fix it") from error
    voices: dict[str, Voice] = {}
    for speaker, table in tree.items():
        if key_of(speaker) in voices:
            raise ConfigError(f"{name}: [{speaker}] stands there twice; keep one")
        voices[key_of(speaker)] = _voice(speaker, table, f"{name}: [{speaker}]")
    if not voices:
        raise ConfigError(f"{name}: no voice in it; write a table for each speaker, with ref or from and to")
    return voices


def voice_of(cue: Cue, voices: Mapping[str, Voice]) -> Voice | None:
    return voices.get(key_of(cue.speaker or DEFAULT))


def refuse_unvoiced(cues: Iterable[Cue], voices: Mapping[str, Voice], name: str) -> None:
    """Raises ConfigError that lists the speakers without a voice."""
    counts: dict[str, int] = {}
    for cue in cues:
        if voice_of(cue, voices) is None:
            speaker = cue.speaker or DEFAULT
            counts[speaker] = counts.get(speaker, 0) + 1
    if counts:
        told = ", ".join(f"[{speaker}] (cues: {count})" for speaker, count in counts.items())
        raise ConfigError(f"{name}: no voice for {told}; add a table for each")


def key_of(speaker: str) -> str:
    return " ".join(speaker.split()).casefold()


def seconds_of(text: str) -> float:
    """`83.5`, `1:23.5` and `0:01:23,5` in seconds. Raises ValueError."""
    if (match := _CLOCK.fullmatch(text.strip())) is None:
        raise ValueError(f"{text!r} is no time; write it as 83.5 or 0:01:23.5")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds.replace(",", "."))


def _voice(speaker: str, table: Any, where: str) -> Voice:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table; write ref under [{speaker}]")
    for key, value in table.items():
        if key not in _KEYS:
            raise ConfigError(f"{where} {key}: not known; known are {', '.join(_KEYS)}")
        if key in _TEXTS and not (isinstance(value, str) and value.strip()):
            raise ConfigError(f"{where} {key} = {value!r}: write text")
    ref, ref_text, consent_id = (table.get(key) for key in _TEXTS)
    if (ref is None) != ("from" in table and "to" in table) or (
        ref is not None and {"from", "to"} & {*table}
    ):
        raise ConfigError(f"{where}: give ref, or from and to in the original")
    if ref is not None:
        return Voice(speaker, ref, ref_text, consent_id)
    start_s, end_s = (_seconds(table[key], f"{where} {key}") for key in ("from", "to"))
    if start_s >= end_s:
        raise ConfigError(f"{where}: from {start_s:g} to {end_s:g} s is no stretch of sound; fix the times")
    return Voice(speaker, None, ref_text, consent_id, start_s, end_s)


def _seconds(value: Any, where: str) -> float:
    try:
        seconds = seconds_of(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds < math.inf:
        raise ConfigError(f'{where} = {value!r}: write seconds, or "0:01:23.5"')
    return seconds
