"""EPUB 2 and 3 as a book: the package's spine gives the text, its table of contents the chapters.

An EPUB is a ZIP that anybody may have made: its members are looked up by name and never written anywhere, and
what they unpack to is bounded. Sources: EPUB 3.3 (W3C), OPF 2.0.1 and its NCX (IDPF).
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urldefrag

from lxml import etree

from pipeline.errors import ManifestError
from pipeline.narration.book import Block, Book, Chapter, chapters_at, chapters_by_headings, on_one_line
from pipeline.narration.html_text import UnreadableError, xhtml_blocks

MAX_MEMBERS = 10_000
MAX_MEMBER_BYTES = 32 * 2**20
MAX_TEXT_BYTES = 256 * 2**20  # of all documents together
_TOC_DEPTH = 2  # parts and chapters; what lies deeper are sections
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the table of contents."""

    document: str
    fragment: str
    title: str


def read_epub(data: bytes, name: str) -> Book:
    """Raises ManifestError: no EPUB, damaged, encrypted (DRM), above the limits, without text."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise ManifestError(f"{name}: more than {MAX_MEMBERS} files in it; no such book is read")
            return _Package(archive, name).book()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        said = " ".join(str(error).split())[:120]
        raise ManifestError(f"{name}: cannot be unpacked as EPUB ({said}); save it again") from error


class _Package:
    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name
        self._names = frozenset(archive.namelist())
        self._read_bytes = 0
        rootfile = _first(self._xml(_CONTAINER), "rootfile")
        self._path = "" if rootfile is None else (rootfile.get("full-path") or "")
        self._opf = self._xml(self._path)
        self._items = {item.get("id") or "": item for item in _all(self._opf, "item")}

    def book(self) -> Book:
        documents = list(self._spine())
        self._refuse_encrypted(documents)
        blocks: list[Block] = []
        places: dict[tuple[str, str], int] = {}  # of a document ("") and of the anchors in it
        for document in documents:
            places.setdefault((document, ""), len(blocks))
            for block in self._blocks(document):
                for anchor in block.anchors:
                    places.setdefault((document, anchor), len(blocks))
                blocks.append(block)
        title = self._said("title") or posixpath.basename(self._name).removesuffix(".epub")
        chapters = self._chapters(blocks, places, title)
        if not any(paragraph.kind == "text" for chapter in chapters for paragraph in chapter.paragraphs):
            raise ManifestError(f"{self._name}: holds no text to speak; is it a book of pictures?")
        return Book(title, tuple(chapters), self._said("creator"), self._said("language"))

    def _blocks(self, document: str) -> list[Block]:
        try:
            return xhtml_blocks(self._member(document))
        except UnreadableError as error:
            raise ManifestError(f"{self._name}: {document}: {error}") from error

    def _chapters(self, blocks: list[Block], places: dict[tuple[str, str], int], title: str) -> list[Chapter]:
        starts: dict[int, str] = {}
        for entry in self._toc():
            begin = places.get((entry.document, ""), len(blocks))
            at = places.get((entry.document, entry.fragment), begin)
            if at < len(blocks):
                starts.setdefault(at, entry.title)
        if starts:
            return chapters_at(blocks, starts, title)
        if any(block.level for block in blocks):
            return chapters_by_headings(blocks, title)
        begins = {at for (_, anchor), at in places.items() if not anchor}
        every = {at: f"{number}" for number, at in enumerate(sorted(begins), start=1)}
        return chapters_at(blocks, every, title)

    def _spine(self) -> Iterator[str]:
        for itemref in _all(self._opf, "itemref"):
            item = self._items.get(itemref.get("idref") or "")
            if item is None or itemref.get("linear") == "no" or _is_nav(item):
                continue
            if "html" in (item.get("media-type") or "") and (path := self._href(item)) in self._names:
                yield path

    def _toc(self) -> Iterator[_Entry]:
        nav = next((item for item in self._items.values() if _is_nav(item)), None)
        if nav is not None and (path := self._href(nav)) in self._names:
            for each in _all(self._xml(path), "nav"):
                if "toc" in (each.get("{http://www.idpf.org/2007/ops}type") or "toc").split():
                    for link in _all(each, "a"):
                        if _depth(link, "ol") <= _TOC_DEPTH:
                            yield self._entry(path, link.get("href") or "", "".join(link.itertext()))
                    return
        spine = _first(self._opf, "spine")
        ncx = self._items.get(spine.get("toc") or "") if spine is not None else None
        if ncx is not None and (path := self._href(ncx)) in self._names:
            for point in _all(self._xml(path), "navPoint"):
                content, label = _first(point, "content"), _first(point, "text")
                if content is not None and _depth(point, "navPoint") < _TOC_DEPTH:
                    said = "" if label is None else "".join(label.itertext())
                    yield self._entry(path, content.get("src") or "", said)

    def _entry(self, base: str, href: str, title: str) -> _Entry:
        target, fragment = urldefrag(href)
        document = _inside(base, target) if target else base
        return _Entry(document, unquote(fragment), on_one_line(title))

    def _href(self, item: etree._Element) -> str:
        return _inside(self._path, item.get("href") or "")

    def _said(self, tag: str) -> str | None:
        element = _first(self._opf, tag)
        return None if element is None else on_one_line("".join(element.itertext())) or None

    def _refuse_encrypted(self, documents: list[str]) -> None:
        """Fonts may be, which nobody speaks."""
        if _ENCRYPTION not in self._names:
            return
        closed = {unquote(each.get("URI") or "") for each in _all(self._xml(_ENCRYPTION), "CipherReference")}
        if closed & {*documents}:
            raise ManifestError(f"{self._name}: its text is encrypted (DRM); give a copy without")

    def _xml(self, path: str) -> etree._Element:
        parser = etree.XMLParser(
            recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        try:
            root = etree.fromstring(self._member(path), parser) if path else None
        except etree.XMLSyntaxError:  # of an empty member
            root = None
        if root is None:
            raise ManifestError(f"{self._name}: {path or 'its package'} cannot be read; is it an EPUB?")
        return root

    def _member(self, path: str) -> bytes:
        if path not in self._names:
            raise ManifestError(f"{self._name}: {path} is not in it; is it an EPUB?")
        with self._archive.open(path) as file:
            data = file.read(MAX_MEMBER_BYTES + 1)
        self._read_bytes += len(data)
        if len(data) > MAX_MEMBER_BYTES or self._read_bytes > MAX_TEXT_BYTES:
            raise ManifestError(f"{self._name}: {path} unpacks to more than is read of a book; split it")
        return data


def _inside(base: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(href)))


def _is_nav(item: etree._Element) -> bool:
    return "nav" in (item.get("properties") or "").split()


def _all(root: etree._Element, tag: str) -> Iterator[etree._Element]:
    """By local name: what namespace a maker chose does not matter."""
    yield from root.iter(f"{{*}}{tag}")


def _first(root: etree._Element, tag: str) -> etree._Element | None:
    return next(_all(root, tag), None)


def _depth(node: etree._Element, tag: str) -> int:
    return sum(1 for _ in node.iterancestors(f"{{*}}{tag}"))
