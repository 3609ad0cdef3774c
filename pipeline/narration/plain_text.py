"""Plain text as blocks: paragraphs are parted by blank lines, and some short ones are headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.narration.book import Block, on_one_line

MAX_HEADING_CHARS = 120
_NUMBER = r"(?:\d{1,4}|[IVXLCDM]{1,8}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen)"
_TITLE = r"""(?-i:\s*[.:,—–-].*|\s+[A-ZÀ-ÞА-Я"'“‘„«(].*)"""  # not `Chapter 3 was the best.`
_WORDS = (
    *("chapter", "part", "book", "act", "canto", "letter", "section", "volume"),
    *("kapitel", "teil", "buch", "akt", "abschnitt", "band"),
    *("chapitre", "partie", "livre", "acte", "capitulo", "capítulo", "parte", "libro", "acto"),
    *("capitolo", "hoofdstuk", "deel", "boek", "rozdział", "część", "глава", "часть"),
)
# words that are a chapter's whole title
_ALONE = (
    *("prologue", "epilogue", "preface", "introduction", "foreword", "afterword", "conclusion", "appendix"),
    *(
        "prolog",
        "epilog",
        "vorwort",
        "einleitung",
        "nachwort",
        "prólogo",
        "epílogo",
        "préface",
        "avant-propos",
    ),
)
_HEADING = re.compile(
    rf"(?:{'|'.join(_WORDS)})\s+{_NUMBER}(?:{_TITLE})?|(?:{'|'.join(_ALONE)})[.:]?"
    r"|第\s*[\d〇零一二三四五六七八九十百千]+\s*[章回節节部卷].*",
    re.IGNORECASE,
)
_NUMERAL = re.compile(r"(?:[IVXLCDM]{1,8}|\d{1,3})\.?")  # a chapter's number alone between blank lines


def text_blocks(text: str) -> Iterator[Block]:
    """In their order; headings have the level 1."""
    for lines in re.split(r"\n[^\S\n]*(?:\n[^\S\n]*)+", text.replace("\r\n", "\n").replace("\r", "\n")):
        if said := on_one_line(lines):
            yield Block(said, 1 if _is_heading(lines) else 0)


def _is_heading(paragraph: str) -> bool:
    """Contents, a heading in every line, are none."""
    said, later = on_one_line(paragraph), paragraph.strip().split("\n")[1:]
    if len(said) > MAX_HEADING_CHARS or any(_HEADING.fullmatch(line.strip()) for line in later):
        return False
    return _HEADING.fullmatch(said) is not None or _NUMERAL.fullmatch(said) is not None
