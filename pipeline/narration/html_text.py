"""HTML and XHTML as blocks of text, by lxml.

Nothing is loaded, run or looked up: a document's own entities are left out; the parser bounds its depth.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from lxml import etree

from pipeline.narration.book import Block, is_spoken, on_one_line

_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
            "div",
            "dl",
        ),
        *(
            "dt",
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
        ),
        *("ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    )
)
_UNSPOKEN = frozenset(
    (
        *(
            "audio",
            "button",
            "canvas",
            "form",
            "head",
            "iframe",
            "math",
            "nav",
            "noscript",
            "object",
            "rp",
            "rt",
        ),
        *("script", "select", "style", "svg", "template", "textarea", "video"),
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_UNSPOKEN_ROLES = frozenset({"noteref", "pagebreak", "doc-noteref", "doc-pagebreak"})
_TYPE = "{http://www.idpf.org/2007/ops}type"
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_SCENE_BREAK = "* * *"  # what a ruled line is read as


class UnreadableError(ValueError):
    """Text would be lost."""


def xhtml_blocks(data: bytes) -> list[Block]:
    """Of a document in an EPUB: XML as it should be, else read as browsers do, who lose no text.

    Raises UnreadableError as `html_blocks` does.
    """
    text = _as_text(data)
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    # &nbsp; and the like are not known to XML
    named = _ENTITY.sub(lambda m: m[0] if m[1] in _XML_ENTITIES else html.unescape(m[0]), text)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(named.encode(), parser)
    except etree.XMLSyntaxError:
        # an empty <title/> would swallow the page
        return html_blocks(_EMPTY.sub(r"<\1\2></\1>", text))
    return _blocks_of(root)


def html_blocks(data: bytes | str) -> list[Block]:
    """Raises UnreadableError for what is beyond the parser's limits: it drops the rest and says nothing."""
    text = data if isinstance(data, str) else _as_text(data)
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    root = etree.fromstring(text.encode("utf-8", "replace") or b"<p></p>", parser)
    if beyond := [each for each in parser.error_log if each.type_name == "ERR_RESOURCE_LIMIT"]:
        said = beyond[0].message.partition(",")[0]
        raise UnreadableError(f"line {beyond[0].line}: {said}; close its tags, or save it again")
    return [] if root is None else _blocks_of(root)


_EMPTY = re.compile(r"<(title|script|style|textarea|iframe|a)\b([^<>]*)/>")
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")  # matched at the beginning: a search would be quadratic
_ENCODING = re.compile(rb"""encoding=["']([A-Za-z0-9._-]{1,40})["']""")


def _as_text(data: bytes) -> str:
    """By its mark or its declaration, else UTF-8; what is not of it becomes U+FFFD."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    declared = _ENCODING.search(data[:200])
    try:
        return data.decode(declared[1].decode() if declared else "utf-8-sig", "replace").lstrip("\ufeff")
    except LookupError:
        return data.decode("utf-8-sig", "replace")


def _blocks_of(root: etree._Element) -> list[Block]:
    reader = _Reader()
    reader.read(root)
    return list(reader.found())


class _Reader:
    """Collects text until a block begins or ends."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._text: list[str] = []
        self._anchors: set[str] = set()
        self._level = 0

    def found(self) -> Iterator[Block]:
        self._end_block()
        yield from self._blocks

    def read(self, node: etree._Element) -> None:
        if not isinstance(node.tag, str):  # a comment, an instruction, an entity
            return
        tag = etree.QName(node).localname.lower()
        anchor = node.get("id") or (node.get("name") if tag == "a" else None)
        if anchor:
            self._anchors.add(anchor)
        roles = {*(node.get(_TYPE) or node.get("epub:type") or "").split(), *(node.get("role") or "").split()}
        if tag in _UNSPOKEN or node.get("hidden") is not None or roles & _UNSPOKEN_ROLES:
            return
        if tag == "br":
            self._text.append("\n")
        is_block, level = tag in _BLOCKS, self._level
        if is_block:
            self._end_block()
            self._level = _HEADINGS.get(tag, level)
        if tag == "hr":
            self._text.append(_SCENE_BREAK)
        self._text.append(node.text or "")
        for child in node:
            self.read(child)
            self._text.append(child.tail or "")
        if is_block:
            self._end_block()
            self._level = level

    def _end_block(self) -> None:
        said = on_one_line("".join(self._text))
        self._text = []
        if said:
            self._blocks.append(Block(said, self._level if is_spoken(said) else 0, frozenset(self._anchors)))
            self._anchors = set()
