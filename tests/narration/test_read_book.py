"""Plain text, Markdown and HTML as chapters; what counts as a heading."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ConfigError, ManifestError
from pipeline.narration.book import is_spoken, on_one_line
from pipeline.narration.read_book import load_book, read_book

TEXT = """A Book

CHAPTER I. Down

It was a dark
night. Nobody spoke.

* * *

Then somebody did.

PART TWO

CHAPTER II

The end came.
"""


def chapters(text: str | bytes, name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    data = text.encode() if isinstance(text, str) else text
    return [(c.title, [(p.kind, p.text) for p in c.paragraphs]) for c in read_book(data, name).chapters]


def test_plain_text() -> None:
    assert chapters(TEXT, "a-book.txt") == [
        ("a-book", [("text", "A Book")]),
        (
            "CHAPTER I. Down",
            [
                ("heading", "CHAPTER I. Down"),
                ("text", "It was a dark night. Nobody spoke."),
                ("break", "* * *"),
                ("text", "Then somebody did."),
            ],
        ),
        ("CHAPTER II", [("heading", "PART TWO"), ("heading", "CHAPTER II"), ("text", "The end came.")]),
    ]
    assert chapters(TEXT.replace("\n", "\r\n"), "a-book.txt") == chapters(TEXT, "a-book.txt")
    assert chapters(TEXT.encode("utf-16"), "a-book.txt") == chapters(TEXT, "a-book.txt")


@pytest.mark.parametrize(
    "line",
    ["Chapter 1", "CHAPTER XIV. The Storm", "Kapitel 3: Nebel", "Chapitre IV", "IV.", "12", "Prologue", "第三章 归来",
     "Chapter Seven", "Глава 2. Дорога"],
)  # fmt: skip
def test_headings(line: str) -> None:
    assert chapters(f"{line}\n\nSome text.", "b.txt")[0][1][0] == ("heading", line)


@pytest.mark.parametrize(
    "line",
    [
        "Chapter 3 was the best of all.",
        "Part of it was true.",
        "I",
        "I went.",
        "In 1865 it rained.",
        "CHAPTER",
    ],
)
def test_no_headings(line: str) -> None:
    kind = chapters(f"{line}\n\nSome text.", "b.txt")[0][1][0][0]
    assert kind == ("heading" if line == "I" else "text")  # a lone numeral is a chapter's number


def test_headings_on_two_lines_and_contents() -> None:
    text = "Chapter I. Down\nChapter II. Up\n\nCHAPTER I.\nDown the Hole\n\nIt was dark."
    assert chapters(text, "b.txt") == [
        ("b", [("text", "Chapter I. Down Chapter II. Up")]),
        ("CHAPTER I. Down the Hole", [("heading", "CHAPTER I. Down the Hole"), ("text", "It was dark.")]),
    ]


def test_a_text_without_headings_is_one_chapter() -> None:
    assert chapters("One.\n\nTwo.", "talk.txt") == [("talk", [("text", "One."), ("text", "Two.")])]


def test_markdown() -> None:
    text = """# The Book

## One

Some *very* [linked](http://x.y) text
on two lines.

- a point
- another

---

```
code too
```

## Two

<b>Bold</b> &amp; done.
"""
    assert chapters(text, "b.md") == [
        (
            "One",
            [
                ("heading", "The Book"),
                ("heading", "One"),
                ("text", "Some very linked text on two lines."),
                ("text", "a point"),
                ("text", "another"),
                ("break", "* * *"),
                ("text", "code too"),
            ],
        ),
        ("Two", [("heading", "Two"), ("text", "Bold & done.")]),
    ]
    assert read_book(text.encode(), "b.md").title == "The Book"


FRONT = "---\ntitle: The Hard Book\nauthor: Jo Writer\nlang: en-GB\n---\n"


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("Before.\n\n| a | b |\n|---|---|\n| c | d |\n\nAfter.", ["Before.", "After."]),
        ("Said.[^one] On.\n\n[^one]: The note text.", ["Said. On."]),
        ("Said.[^1]\n\n[^1]: One\ntwo.\n\n    Three.\n[^b]: Note.\n\nAfter.", ["Said.", "After."]),
        ("Said.[^1]\r\n\r\n[^1]: Note.\r\n\r\nAfter.", ["Said.", "After."]),
        ("All but `[^a-z]` and [^x].", ["All but [^a-z] and [^x]."]),
        ("# The <Wind> <b>Blows</b>\n\nOn.", ["The <Wind> Blows", "On."]),
        ("<Wind>\nblew.\n\n<div>On.</div>", ["<Wind> blew.", "On."]),
        (FRONT + "Text.", ["Text."]),
        (FRONT.replace("\n", "\r\n") + "Text.", ["Text."]),
        ("---\n\nA line: above.\n\n---\n\nText.", ["* * *", "A line: above.", "* * *", "Text."]),
        ("---\nOnly words\n---\nText.", ["* * *", "Only words", "Text."]),
    ],
)
def test_what_is_said_of_markdown(markdown: str, said: list[str]) -> None:
    assert [text for _, found in chapters(markdown, "b.md") for _, text in found] == said


@pytest.mark.parametrize(
    ("front", "title", "author", "language"),
    [
        (FRONT, "The Hard Book", "Jo Writer", "en-GB"),
        ("---\ntitle: 1984\nauthor: [Jo, Al]\n...\n", "1984", "Jo, Al", None),
        ("---\ndate: 2026-01-01\n---\n", "Heading", None, None),
        ("", "Heading", None, None),
    ],
)
def test_title_and_author_of_markdown(
    front: str, title: str, author: str | None, language: str | None
) -> None:
    book = read_book(f"{front}# Heading\n\nText.".encode(), "b.md")
    assert (book.title, book.author, book.language) == (title, author, language)


def test_html() -> None:
    page = "<html><body><nav>Home</nav><h1>T</h1>Loose <p>Para<ruby>字<rt>ji</rt></ruby></p>tail<script>x()</script>"
    assert chapters(page, "p.html") == [
        ("T", [("heading", "T"), ("text", "Loose"), ("text", "Para字"), ("text", "tail")])
    ]


def test_depth_does_not_exhaust_the_stack() -> None:
    deep = "<p>Before.</p>" + "<div>" * 50_000 + "Deep."
    with pytest.raises(ManifestError, match=r"^p\.html: line 1: Excessive depth"):
        chapters(deep, "p.html")
    assert chapters("> " * 5_000 + "Deep.\n\nAfter.", "b.md")


def test_deep_lists_are_read_to_their_ends() -> None:
    items = "\n".join(f"{'  ' * depth}- Item {depth}." for depth in range(40))
    said = [text for _, text in chapters(items, "b.md")[0][1]]
    assert said == [f"Item {depth}." for depth in range(40)]


def test_tags_that_are_never_closed_lose_no_paragraph_unsaid() -> None:
    """The parser stops at a depth of 256, and what follows would be gone."""
    page = "<p><font>Text."
    assert len(chapters(page * 100, "p.html")[0][1]) == 100
    with pytest.raises(ManifestError, match="close its tags"):
        chapters(page * 500, "p.html")


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"caf\xe9 au lait", "b.txt", "UTF-8"),
        (b"  \n\n * * *\n", "b.txt", "no text"),
        (b"", "b.html", "no text"),
        (b"x", "b.pdf", "no book by its name"),
        (b"---\ntitle: a: b\n---\nText.", "b.md", "front matter is not YAML"),
        (b"---\na: " + b"[" * 5_000 + b"\n---\nText.", "b.md", "front matter is not YAML"),
        (b"---\na: 2021-13-45\n---\nText.", "b.md", "front matter is not YAML"),
        (b"| a |\n|---|\n| b |", "b.md", "no text"),
    ],
)
def test_what_is_no_book(data: bytes, name: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_book(data, name)


def test_a_book_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the name"):
        load_book(str(tmp_path / "none.txt"))


def test_lines_are_joined_by_their_script() -> None:
    assert on_one_line("broken\nline  here\t\u00ad!\u200b") == "broken line here !"
    assert on_one_line("他说\n你好") == "他说你好"
    assert on_one_line("그는\n말했다") == "그는 말했다"
    assert on_one_line("می\u200cخواهم") == "می\u200cخواهم"  # a joiner that is spelling
    assert not is_spoken("—…* * *")
    assert is_spoken("ß")
