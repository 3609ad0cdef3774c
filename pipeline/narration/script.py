"""A book as its script: the segments in the order in which they are heard. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from pipeline.errors import ConfigError
from pipeline.narration.book import Book, Chapter, Kind
from pipeline.narration.lexicon import Lexicon
from pipeline.narration.options import NarrationOptions, Pauses
from pipeline.narration.sentences import pieces
from pipeline.narration.spoken import spoken_form, with_arabic_number
from pipeline.narration.voices import Voice, Voices
from pipeline.programme.references import Reference
from pipeline.stages.check_request import normalize_language


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the manifest, and where it stands in the book.

    id: `ch03-0041`, the 41st of chapter 3. `written` is the book's text, `spoken` what the model is given.
    pause_s: silence behind it.
    """

    id: str
    chapter: int  # from 1
    written: str
    spoken: str
    voice: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Script:
    title: str
    author: str | None
    language: str
    chapters: tuple[str, ...]  # their titles
    segments: tuple[Segment, ...]

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1).encode()


def make_script(
    book: Book, voices: Voices, lexicon: Lexicon, options: NarrationOptions, default_language: str
) -> Script:
    """Chapters are numbered as they come. Title, author and language are the job's, else the book's.

    Raises ConfigError for a job's language that is none.
    """
    language = _language(options.language, book.language, default_language)
    speak = spoken_form(language, lexicon, numbers=options.numbers)
    segments: list[Segment] = []
    for number, chapter in enumerate(book.chapters, start=1):
        narrator = voices.narrator(number, chapter.title)
        spoken = _spoken_pieces(chapter, narrator, voices, language, options)
        for i, (kind, voice, written, pause_s) in enumerate(spoken, start=1):
            said = speak(with_arabic_number(written, language) if kind == "heading" else written)
            name = f"ch{number:02d}-{i:04d}"
            segments.append(Segment(name, number, written, said, voice.name, pause_s))
    titles = tuple(chapter.title for chapter in book.chapters)
    title, author = options.title or book.title, options.author or book.author
    return Script(title, author, language, titles, tuple(segments))


def _spoken_pieces(
    chapter: Chapter, narrator: Voice, voices: Voices, language: str, options: NarrationOptions
) -> Iterator[tuple[str, Voice, str, float]]:
    """(kind of paragraph, who, what, pause behind it)."""
    paragraphs = chapter.paragraphs
    last = max(i for i, paragraph in enumerate(paragraphs) if paragraph.kind != "break")
    for i, paragraph in enumerate(paragraphs[: last + 1]):
        if paragraph.kind == "break":
            continue
        behind = None if i == last else paragraphs[i + 1].kind
        end_s = _pause_behind(paragraph.kind, behind, options.pauses)
        turns = [
            (voice, text[begin:end].strip())
            for voice, text in voices.turns(paragraph.text, narrator)
            for begin, end in pieces(text, language, options.max_segment_s)
        ]
        for j, (voice, text) in enumerate(turns):
            inner_s = options.pauses.sentence if _is_whole(text) else options.pauses.clause
            yield paragraph.kind, voice, text, end_s if j == len(turns) - 1 else inner_s


def _pause_behind(kind: Kind, behind: Kind | None, pauses: Pauses) -> float:
    if behind is None:
        return pauses.chapter
    if behind == "break":
        return pauses.scene
    return pauses.heading if kind == "heading" else pauses.paragraph


def _is_whole(text: str) -> bool:
    return text.rstrip("\"'”’»›)]}」』）】 ")[-1:] not in (
        "",
        ",",
        ";",
        ":",
        "—",
        "–",
        "，",
        "、",
        "；",
        "：",
    )


def _language(asked: str | None, of_book: str | None, default: str) -> str:
    """What a file says of its language may be anything."""
    if asked is not None and normalize_language(asked) is None:
        raise ConfigError(f"--language {asked}: not a BCP 47 tag; write one such as en or zh-CN")
    given = (normalize_language(each) for each in (asked, of_book) if each)
    return next((tag for tag in given if tag is not None), default)


def script_from(data: bytes) -> Script:
    """The inverse of `Script.to_bytes`."""
    tree = json.loads(data)
    segments = tuple(Segment(**each) for each in tree["segments"])
    return Script(**(tree | {"chapters": tuple(tree["chapters"]), "segments": segments}))


def predecessors(segments: Sequence[Segment]) -> dict[str, str]:
    """The segment that each goes on from, by id: the last one before it in its voice and chapter."""
    last: dict[tuple[int, str], str] = {}
    found: dict[str, str] = {}
    for segment in segments:
        key = segment.chapter, segment.voice
        if key in last:
            found[segment.id] = last[key]
        last[key] = segment.id
    return found


def manifest_rows(
    segments: Sequence[Segment], references: Mapping[str, Reference], language: str
) -> list[dict[str, object]]:
    """Of voicemill's manifest; the references are by voice."""
    rows = []
    for segment in segments:
        voice = references[segment.voice]
        row: dict[str, object] = {"id": segment.id, "ref": f"../{voice.key}", "text": segment.spoken}
        told = {"language": language, "ref_text": voice.text, "consent_id": voice.consent_id}
        rows.append(row | {name: value for name, value in told.items() if value})
    return rows
