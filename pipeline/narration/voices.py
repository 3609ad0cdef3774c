"""Who reads what: a TOML table per voice, in a file of the job's.

[default]                    # the narrator
ref = "voices/anna.flac"     # relative to this file, or a URI
ref_text = "The ferry leaves the harbor at dawn."
consent_id = "2026-017"      # where the job requires one

[BEN]                        # what stands behind [BEN] in a paragraph
ref = "voices/ben.flac"
chapters = [3, "The Storm"]  # chapters he narrates, by number or title
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError, ManifestError
from pipeline.narration.book import Book

DEFAULT = "default"
_KEYS = ("ref", "ref_text", "consent_id", "chapters")
_TAG = re.compile(r"\[([^\[\]]{1,60})\]\s*")
# what is meant as one, even where no voice has the name
_MEANT_AS_TAG = re.compile(r"\s*\[(SPEAKER[ _-]?\d*|[A-Z][A-Z0-9_-]{1,30})\]")


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    ref: str
    ref_text: str | None = None
    chapters: tuple[int | str, ...] = ()
    consent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Voices:
    """By name, casefolded; `[DEFAULT]` narrates what nobody else does."""

    by_name: Mapping[str, Voice]

    def narrator(self, number: int, title: str) -> Voice:
        """Of a chapter, counted from 1."""
        wanted = (number, title.casefold())
        for voice in self.by_name.values():
            if any((each.casefold() if isinstance(each, str) else each) in wanted for each in voice.chapters):
                return voice
        return self.by_name[DEFAULT]

    def turns(self, text: str, narrator: Voice) -> list[tuple[Voice, str]]:
        """A paragraph as who says what: a known name in brackets hands over, to the end of the paragraph."""
        turns, voice, begin = [], narrator, 0
        for tag in _TAG.finditer(text):
            if (named := self.by_name.get(tag[1].strip().casefold())) is not None:
                turns.append((voice, text[begin : tag.start()].strip()))
                voice, begin = named, tag.end()
        turns.append((voice, text[begin:].strip()))
        return [(who, said) for who, said in turns if said]


def one_voice(ref: str, ref_text: str | None, consent_id: str | None = None) -> Voices:
    return Voices({DEFAULT: Voice(DEFAULT, ref, ref_text, consent_id=consent_id)})


def read_voices(toml: bytes, name: str) -> Voices:
    """Raises ConfigError that names the voice and the key."""
    try:
        tree = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{name}: not TOML ({error}); fix it") from error
    voices: dict[str, Voice] = {}
    for voice, table in tree.items():
        if voice.casefold() in voices:
            raise ConfigError(f"{name}: [{voice}] stands there twice; keep one")
        voices[voice.casefold()] = _voice(voice, table, f"{name}: [{voice}]")
    if DEFAULT not in voices:
        raise ConfigError(f"{name}: no [{DEFAULT}], who narrates what no other voice does; add it")
    return Voices(voices)


def unvoiced_tags(book: Book, voices: Voices) -> dict[str, int]:
    """What stands before paragraphs as a voice's tag does and is none's, with how often."""
    tags = (
        _MEANT_AS_TAG.match(paragraph.text) for chapter in book.chapters for paragraph in chapter.paragraphs
    )
    return dict(Counter(tag[1] for tag in tags if tag and tag[1].casefold() not in voices.by_name))


def refuse_unvoiced(book: Book, voices: Voices, name: str) -> None:
    """Raises ManifestError for a tag before a paragraph that no voice has, ConfigError for a chapter of a
    voice's that the book does not have. One voice alone narrates everything but what is a `[SPEAKER1]`'s."""
    several = len(voices.by_name) > 1
    unknown = unvoiced_tags(book, voices)
    if refused := {tag: n for tag, n in unknown.items() if several or tag.startswith("SPEAKER")}:
        told = ", ".join(f"[{tag}] ({count}){_like(tag, voices)}" for tag, count in refused.items())
        raise ManifestError(f"{name}: no voice for {told}; add a table for each to the voices")
    titles = {chapter.title.casefold() for chapter in book.chapters}
    for voice in voices.by_name.values():
        for each in voice.chapters:
            there = each.casefold() in titles if isinstance(each, str) else 1 <= each <= len(book.chapters)
            if not there:
                raise ConfigError(
                    f"[{voice.name}] chapters: {name} has no chapter {each!r} among {len(book.chapters)}"
                )


def _like(tag: str, voices: Voices) -> str:
    names: Sequence[str] = [voice.name for voice in voices.by_name.values()]
    close = difflib.get_close_matches(tag, names, n=1)
    return f", did you mean [{close[0]}]?" if close else ""


def _voice(name: str, table: Any, where: str) -> Voice:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table; write ref under [{name}]")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{where} {key}: not known; known are {', '.join(_KEYS)}")
    ref, ref_text, consent_id = table.get("ref"), table.get("ref_text"), table.get("consent_id")
    chapters = table.get("chapters", [])
    if not (isinstance(ref, str) and ref.strip()):
        raise ConfigError(f"{where} ref = {ref!r}: write the path or URI of its recording")
    if ref_text is not None and not (isinstance(ref_text, str) and ref_text.strip()):
        raise ConfigError(f"{where} ref_text = {ref_text!r}: write what the recording says, or leave it out")
    if consent_id is not None and not (isinstance(consent_id, str) and consent_id.strip()):
        raise ConfigError(f"{where} consent_id = {consent_id!r}: write the consent's id, or leave it out")
    if not isinstance(chapters, list) or not all(
        isinstance(each, int | str) and not isinstance(each, bool) for each in chapters
    ):
        raise ConfigError(f'{where} chapters = {chapters!r}: write numbers and titles, [3, "The Storm"]')
    return Voice(name, ref, ref_text, tuple(chapters), consent_id)
