"""Markdown as HTML, by markdown-it, without what is seen, not said: front matter, tables, footnotes."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml
from lxml.html import defs
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.errors import ManifestError

_NESTING = 100  # by its own limit, 20, markdown-it drops what lies in a list of the eleventh level
_FRONT_MATTER = re.compile(r"---[^\S\n]*\n(?=\S)(.*?)\n(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
# a note goes on in the lines behind it, and in indented paragraphs
_NOTE = re.compile(
    r"^ {0,3}\[\^([^\]\s]{1,100})\]:.*(?:\n+(?: {4}|\t).*|\n(?!\s|#| {0,3}\[\^).+)*", re.MULTILINE
)
_NOTE_MARK = re.compile(r"\[\^([^\]\s]{1,100})\]")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)[^<>]*>")
_HTML_TAGS = defs.tags | {"main", "wbr", "picture", "dialog", "template", "svg", "math", "search", "slot"}


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What a file says of its book before the text; None for what it does not say."""

    title: str | None = None
    author: str | None = None
    language: str | None = None


def parted_front_matter(text: str, name: str) -> tuple[FrontMatter, str]:
    """YAML between `---` at the very top, and the text behind it.

    What is no mapping is text. Raises ManifestError for what is not YAML.
    """
    match = _FRONT_MATTER.match(text)
    if match is None:
        return FrontMatter(), text
    try:
        tree = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2021-13-45 is no date
        said = " ".join(str(error).split())[:120]
        raise ManifestError(f"{name}: front matter is not YAML ({said}); fix or remove it") from error
    if not isinstance(tree, dict):
        return FrontMatter(), text
    language = tree.get("language", tree.get("lang"))
    found = FrontMatter(_named(tree.get("title")), _named(tree.get("author")), _named(language))
    return found, text[match.end() :]


def _named(value: object) -> str | None:
    """Several authors are parted by commas; what is not a name or several is nothing."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_named, value))) or None
    return str(value).strip() or None if isinstance(value, str | int | float) else None


def markdown_html(text: str) -> str:
    """CommonMark as HTML. A tag that HTML does not know is text: `<Wind>`."""
    parser = MarkdownIt(options_update={"maxNesting": _NESTING}).enable("table")
    tokens = [_with_unknown_tags_said(token) for token in parser.parse(_without_notes(text))]
    page: str = parser.renderer.render(_without_tables(tokens), parser.options, {})
    return page


def _without_notes(text: str) -> str:
    """Without footnotes and their marks; a mark without a note is text."""
    text = text.replace("\r\n", "\n")
    labels = {match[1] for match in _NOTE.finditer(text)}
    return _NOTE_MARK.sub(lambda m: "" if m[1] in labels else m[0], _NOTE.sub("", text))


def _without_tables(tokens: Sequence[Token]) -> list[Token]:
    kept, inside = [], 0
    for token in tokens:
        if token.type in ("table_open", "table_close"):
            inside += token.nesting
        elif not inside:
            kept.append(token)
    return kept


def _with_unknown_tags_said(token: Token) -> Token:
    if token.children:
        token = replace(token, children=[_with_unknown_tags_said(child) for child in token.children])
    if token.type not in ("html_inline", "html_block"):
        return token
    said = _TAG.sub(lambda m: m[0] if m[1].lower() in _HTML_TAGS else html.escape(m[0]), token.content)
    return replace(token, content=said)
