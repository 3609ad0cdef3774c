"""EPUBs made by hand: what is read of them, and what they cannot do to the reader."""

from __future__ import annotations

import pytest
from books import NAV, OPF, TWO, epub

from pipeline.errors import ManifestError
from pipeline.narration import epub as module
from pipeline.narration.book import Paragraph
from pipeline.narration.epub import read_epub

NCX = """<?xml version="1.0"?><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>
<navPoint id="a"><navLabel><text>First</text></navLabel><content src="text/one.xhtml"/></navPoint>
<navPoint id="b"><navLabel><text>Second</text></navLabel><content src="text/two%20half.xhtml#dusk"/></navPoint>
</navMap></ncx>"""


def texts(data: bytes) -> list[tuple[str, list[str]]]:
    book = read_epub(data, "book.epub")
    return [
        (chapter.title, [p.text for p in chapter.paragraphs if p.kind != "break"])
        for chapter in book.chapters
    ]


def test_chapters_are_those_of_the_contents() -> None:
    book = read_epub(epub(), "book.epub")
    assert (book.title, book.author, book.language) == ("The Quiet Harbor", "A. Writer", "en-GB")
    assert texts(epub()) == [
        ("Dawn", ["Dawn", 'The ferry left at dawn. It was "cold".', "Then the sun rose."]),
        ("Noon", ["At noon they ate."]),
        ("Dusk", ["Dusk", "Lights came on. One by one.", "Later", "A bell.", "A door."]),
    ]
    assert [p.kind for p in book.chapters[0].paragraphs] == ["heading", "text", "break", "text"]
    assert book.chapters[2].paragraphs[2] == Paragraph("Later", "heading")


def test_contents_of_epub_2() -> None:
    opf = (
        OPF.replace(' properties="nav"', "")
        .replace('<itemref idref="nav"/>', "")
        .replace("<spine>", '<spine toc="n">')
    )
    opf = opf.replace(
        "<manifest>", '<manifest><item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    )
    found = texts(epub({"OEBPS/book.opf": opf, "OEBPS/toc.ncx": NCX}))
    assert [title for title, _ in found] == ["First", "Second"]
    assert found[0][1][-1] == "At noon they ate."  # nothing points to it: it goes on with what is before


def test_without_contents_headings_part_the_chapters() -> None:
    found = texts(epub({"OEBPS/book.opf": OPF.replace(' properties="nav"', ""), "OEBPS/nav.xhtml": None}))
    assert [title for title, _ in found] == ["Dawn"]  # the only heading of the highest level
    two = TWO.replace("<p>At noon", "<h1>Noon</h1><p>At noon")
    opf = OPF.replace(' properties="nav"', "")
    found = texts(epub({"OEBPS/book.opf": opf, "OEBPS/nav.xhtml": None, "OEBPS/text/two half.xhtml": two}))
    assert [title for title, _ in found] == ["Dawn", "Noon"]


def test_documents_are_chapters_where_nothing_else_parts_them() -> None:
    plain = {
        f"OEBPS/text/{name}.xhtml": f"<html><body><p>It is {name}.</p></body></html>"
        for name in ("one", "two half")
    }
    found = texts(
        epub({"OEBPS/book.opf": OPF.replace(' properties="nav"', ""), "OEBPS/nav.xhtml": None, **plain})
    )
    assert found == [("1", ["It is one."]), ("2", ["It is two half."])]


def test_broken_markup_loses_no_text() -> None:
    broken = (
        "<?xml version='1.0' encoding='utf-8'?><html><head><title/></head><body><p>One <b>two <i>three</b> four"
        "<p>five & six&nbsp;<a id='x'/>seven &unknown; <br>ate <7 </body>"
    )
    assert texts(epub({"OEBPS/text/two half.xhtml": broken}))[1][1] == [
        "One two three four",
        "five & six seven &unknown; ate <7",
    ]


def test_a_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 2**16)
    with pytest.raises(ManifestError, match="unpacks to more"):
        read_epub(epub({"OEBPS/text/one.xhtml": b"<p>" + b"a" * 2**20 + b"</p>"}), "bomb.epub")


def test_entities_are_not_expanded() -> None:
    laughs = (
        '<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    )
    document = f"{laughs}<html><body><p>Start &b;&f; end.</p></body></html>"
    said = " ".join(texts(epub({"OEBPS/text/one.xhtml": document}))[0][1])
    assert said == "Start end."


def test_depth_does_not_exhaust_the_stack() -> None:
    deep = (
        "<html><body>" + "<div>" * 20_000 + "<p>Deep.</p>" + "</div>" * 20_000 + "<p>After.</p></body></html>"
    )
    with pytest.raises(ManifestError, match=r"^deep\.epub: OEBPS/text/one\.xhtml: line 1: Excessive depth"):
        read_epub(epub({"OEBPS/text/one.xhtml": deep}), "deep.epub")


def test_blanks_before_a_document_take_no_time() -> None:
    """A search for its declaration took the square of their number: months."""
    found = texts(epub({"OEBPS/text/one.xhtml": " " * 4_000_000 + "<p>Start.</p>"}))
    assert found[0] == ("Dawn", ["Start."])


def test_an_anchor_is_of_its_own_document() -> None:
    nav = NAV.replace('href="text/one.xhtml"', 'href="text/one.xhtml#dusk"')
    assert texts(epub({"OEBPS/nav.xhtml": nav})) == texts(epub())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"META-INF/container.xml": None}, "container.xml is not in it"),
        ({"META-INF/container.xml": "<container/>"}, "its package cannot be read"),
        ({"META-INF/container.xml": ""}, "container.xml cannot be read"),
        ({"META-INF/container.xml": "<c><rootfile full-path='../../etc/passwd'/></c>"}, "is not in it"),
        (
            {"META-INF/encryption.xml": "<e><CipherReference URI='OEBPS/text/one.xhtml'/></e>"},
            "encrypted",
        ),
        ({"OEBPS/text/one.xhtml": "<p/>", "OEBPS/text/two half.xhtml": "<img src='a.png'/>"}, "no text"),
    ],
)
def test_what_is_no_book(changes: dict[str, str | None], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_epub(epub(changes), "book.epub")


def test_encrypted_fonts_are_no_matter() -> None:
    assert texts(epub({"META-INF/encryption.xml": "<e><CipherReference URI='OEBPS/font.otf'/></e>"}))


@pytest.mark.parametrize("cut", [0, 30, 300])
def test_a_damaged_file(cut: int) -> None:
    with pytest.raises(ManifestError, match=r"cannot be unpacked as EPUB"):
        read_epub(epub()[:cut], "book.epub")


def test_links_out_of_the_book_lead_nowhere() -> None:
    nav = NAV.replace('href="text/one.xhtml"', 'href="../../../etc/passwd"')
    assert [title for title, _ in texts(epub({"OEBPS/nav.xhtml": nav}))] == [
        "The Quiet Harbor",
        "Noon",
        "Dusk",
    ]
