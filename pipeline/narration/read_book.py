"""The file of a book, whatever its format: plain text, Markdown, HTML or EPUB."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipeline.errors import ConfigError, ManifestError, RowError
from pipeline.narration.book import Block, Book, Chapter, chapters_by_headings
from pipeline.narration.epub import read_epub
from pipeline.narration.html_text import UnreadableError, html_blocks
from pipeline.narration.markdown_text import FrontMatter, markdown_html, parted_front_matter
from pipeline.narration.plain_text import text_blocks
from pipeline.programme.subtitles import decoded
from pipeline.storage import read_uri
from pipeline.uris import shown

MAX_BOOK_BYTES = 128 * 2**20
_TEXT = frozenset({".txt", ".text", ""})
_MARKDOWN = frozenset({".md", ".markdown", ".mkd"})
_HTML = frozenset({".html", ".htm", ".xhtml"})


def load_book(uri: str) -> Book:
    """Raises ConfigError for what cannot be read, ManifestError for what is no book."""
    try:
        data = read_uri(uri, MAX_BOOK_BYTES)
    except RowError as error:
        raise ConfigError(error.message) from error
    return read_book(data, shown(uri))


def read_book(data: bytes, name: str) -> Book:
    """By the suffix of its name. Raises ManifestError."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix == ".epub":
        return read_epub(data, name)
    blocks: list[Block]
    told = FrontMatter()
    page: bytes | str = data
    if suffix in _MARKDOWN:
        told, text = parted_front_matter(decoded(data, name), name)
        page = markdown_html(text)
    if suffix in _MARKDOWN or suffix in _HTML:
        try:
            blocks = html_blocks(page)
        except UnreadableError as error:
            raise ManifestError(f"{name}: {error}") from error
    elif suffix in _TEXT:
        blocks = list(text_blocks(decoded(data, name)))
    else:
        raise ManifestError(f"{name}: no book by its name; give one of .txt, .md, .html or .epub")
    chapters: list[Chapter] = chapters_by_headings(blocks, told.title or path.stem)
    if not any(paragraph.kind == "text" for chapter in chapters for paragraph in chapter.paragraphs):
        raise ManifestError(f"{name}: holds no text to speak")
    first = blocks[0]
    lone = first.level and sum(block.level == first.level for block in blocks) == 1 and suffix not in _TEXT
    title = told.title or (first.text if lone else path.stem)
    return Book(title, tuple(chapters), told.author, told.language)
