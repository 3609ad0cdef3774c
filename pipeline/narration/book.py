"""A book as chapters of paragraphs. Pure; the readers of the formats lie beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "heading", "break"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """`text` on one line. A `break` parts scenes and is not spoken."""

    text: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True, slots=True)
class Book:
    """`language` is a BCP 47 tag where the file says one."""

    title: str
    chapters: tuple[Chapter, ...]
    author: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph as it stands in a document: `level` is that of a heading, 0 for text.

    `anchors` are the ids that a table of contents may point to, of the block and of what has no text before
    it.
    """

    text: str
    level: int = 0
    anchors: frozenset[str] = field(default_factory=frozenset)

    def paragraph(self) -> Paragraph:
        if not is_spoken(self.text):
            return Paragraph(self.text, "break")
        return Paragraph(self.text, "heading" if self.level else "text")


def chapters_by_headings(blocks: Sequence[Block], title: str) -> list[Chapter]:
    """Chapters begin at the headings of the highest level that occurs twice, and at those above it.

    So a lone heading at the top, the book's own title, makes no chapter of all the rest. What stands before
    the first is a chapter named `title`.
    """
    levels = sorted({block.level for block in blocks if block.level})
    counts = {level: sum(block.level == level for block in blocks) for level in levels}
    level = next((level for level in levels if counts[level] > 1), levels[0] if levels else 0)
    starts = {i: block.text for i, block in enumerate(blocks) if 0 < block.level <= level}
    return chapters_at(blocks, starts, title)


def chapters_at(blocks: Sequence[Block], starts: dict[int, str], title: str) -> list[Chapter]:
    """Chapters that begin at these blocks, under these titles; see `_with_text`."""
    chapters: list[tuple[str, list[Paragraph]]] = [(title, [])]
    for i, block in enumerate(blocks):
        if i in starts:
            chapters.append((starts[i], []))
        chapters[-1][1].append(block.paragraph())
    return [Chapter(name or title, tuple(found)) for name, found in _with_text(chapters)]


def _with_text(chapters: Iterable[tuple[str, list[Paragraph]]]) -> Iterator[tuple[str, list[Paragraph]]]:
    """A heading with nothing under it (`Part One`) is spoken at the beginning of the chapter behind it."""
    held: list[Paragraph] = []
    name = ""
    for name, paragraphs in chapters:
        held += paragraphs
        if any(paragraph.kind == "text" for paragraph in paragraphs):
            yield name, held
            held = []
    if any(paragraph.kind != "break" for paragraph in held):
        yield name, held


def is_spoken(text: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return any(map(str.isalnum, text))


def on_one_line(text: str) -> str:
    """Without line breaks, doubled blanks, and characters that cannot be seen or said.

    Where a line of Chinese or Japanese was broken there is no blank: those are written without.
    """
    visible = "".join(char for char in text if char.isspace() or not _is_invisible(char))
    joined = ""
    for line in (" ".join(line.split()) for line in visible.splitlines()):
        if line:
            tight = not joined or (_is_wide(joined[-1]) and _is_wide(line[0]))
            joined += line if tight else f" {line}"
    return joined


def _is_invisible(char: str) -> bool:
    """Controls and format characters, but for the joiners that are spelling in Persian and Indic scripts."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co") and char not in "\u200c\u200d"


def _is_wide(char: str) -> bool:
    """Of a script without blanks: wide, and no Hangul, which is written with them."""
    return unicodedata.east_asian_width(char) in "WF" and not unicodedata.name(char, "").startswith("HANGUL")
