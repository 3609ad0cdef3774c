"""Voices, and the script of a book: who says what, with which pause behind it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, ManifestError
from pipeline.narration.book import Book, Chapter, Paragraph
from pipeline.narration.options import NarrationOptions, Pauses, options_from_dict, pauses_from
from pipeline.narration.read_book import read_book
from pipeline.narration.script import Script, make_script, manifest_rows, script_from
from pipeline.narration.voices import one_voice, read_voices, refuse_unvoiced, unvoiced_tags
from pipeline.programme.references import Reference

VOICES = b"""
[default]
ref = "anna.flac"
ref_text = "Hello."
[BEN]
ref = "ben.flac"
chapters = [2, "The End"]
["Old Man"]
ref = "old.flac"
"""
TEXT = b"""Chapter I

Dr. Hill came. He had 5 coins.

[BEN] Who is it? [old man] Me, he said.

***

Night fell.

Chapter 2

It rained.
"""


def script(data: bytes = TEXT, voices: bytes = VOICES, **options: object) -> Script:
    made = NarrationOptions(**{"max_segment_s": 2.5, **options})  # type: ignore[arg-type]
    return make_script(read_book(data, "b.txt"), read_voices(voices, "v.toml"), {}, made, "en")


def test_a_script() -> None:
    found = script()
    pauses = Pauses()
    assert [(s.id, s.written, s.spoken, s.voice, s.pause_s) for s in found.segments] == [
        ("ch01-0001", "Chapter I", "Chapter one", "default", pauses.heading),
        ("ch01-0002", "Dr. Hill came.", "Doctor Hill came.", "default", pauses.sentence),
        ("ch01-0003", "He had 5 coins.", "He had five coins.", "default", pauses.paragraph),
        ("ch01-0004", "Who is it?", "Who is it?", "BEN", pauses.sentence),
        ("ch01-0005", "Me, he said.", "Me, he said.", "Old Man", pauses.scene),
        ("ch01-0006", "Night fell.", "Night fell.", "default", pauses.chapter),
        ("ch02-0001", "Chapter 2", "Chapter two", "BEN", pauses.heading),
        ("ch02-0002", "It rained.", "It rained.", "BEN", pauses.chapter),
    ]
    assert found.chapters == ("Chapter I", "Chapter 2")
    assert script_from(found.to_bytes()) == found


def test_manifest_rows() -> None:
    found = script()
    references = {
        "default": Reference("voices/a.flac", "Hello.", "2026-017"),
        "BEN": Reference("voices/b.flac", None),
        "Old Man": Reference("voices/c", None),
    }
    rows = manifest_rows(found.segments, references, "en")
    assert rows[0] == {
        "id": "ch01-0001", "ref": "../voices/a.flac", "ref_text": "Hello.", "text": "Chapter one", "language": "en",
        "consent_id": "2026-017",
    }  # fmt: skip
    assert {"ref_text", "consent_id"}.isdisjoint(rows[3])


@pytest.mark.parametrize(
    ("asked", "of_book", "expected"),
    [("de", "en", "de"), (None, "en-GB", "en-GB"), (None, "no language at all", "fr"), (None, None, "fr")],
)
def test_language(asked: str | None, of_book: str | None, expected: str) -> None:
    book = Book("b", (Chapter("c", (Paragraph("Text."),)),), language=of_book)
    assert (
        make_script(book, one_voice("a", None), {}, NarrationOptions(language=asked), "fr").language
        == expected
    )


def test_a_job_s_language_must_be_one() -> None:
    with pytest.raises(ConfigError, match="BCP 47"):
        script(language="klingon!")


WORDS = st.sampled_from(
    ["He", "said", "“No,”", "[BEN]", "[laugh]", "Mr.", "5", "end.", "Why?", "—", "...", "一二。", ";", "a"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=25).map(" ".join), min_size=1, max_size=5))
def test_the_segments_of_a_chapter_are_its_text(paragraphs: list[str]) -> None:
    said = [Paragraph(text, "text" if any(map(str.isalnum, text)) else "break") for text in paragraphs]
    book = Book("b", (Chapter("c", (*said, Paragraph("The end."))),))
    voices = read_voices(VOICES, "v.toml")
    segments = make_script(book, voices, {}, NarrationOptions(max_segment_s=3), "en").segments
    spoken = "".join(text.text for text in said if text.kind == "text").replace("[BEN]", "") + "The end."
    assert "".join("".join(s.written for s in segments).split()) == "".join(spoken.split())
    assert [s.id for s in segments] == [f"ch01-{i:04d}" for i in range(1, len(segments) + 1)]


def test_a_tag_without_a_voice() -> None:
    book = read_book(b"[BNE] Hello.\n\n[ILLUSTRATION]\n\n[sic] is no tag.", "b.txt")
    with pytest.raises(ManifestError, match=r"\[BNE\] \(1\), did you mean \[BEN\]\?, \[ILLUSTRATION\] \(1\)"):
        refuse_unvoiced(
            book, read_voices(VOICES.replace(b'chapters = [2, "The End"]', b""), "v.toml"), "b.txt"
        )
    refuse_unvoiced(
        book, one_voice("anna.flac", None), "b.txt"
    )  # one voice reads what is written, and is told
    assert unvoiced_tags(book, one_voice("anna.flac", None)) == {"BNE": 1, "ILLUSTRATION": 1}
    with pytest.raises(ManifestError, match=r"no voice for \[SPEAKER1\]"):
        refuse_unvoiced(read_book(b"[SPEAKER1] Hello.", "b.txt"), one_voice("anna.flac", None), "b.txt")


@pytest.mark.parametrize("chapter", [b"7", b"0", b'"Nowhere"'])
def test_a_chapter_that_is_not_there(chapter: bytes) -> None:
    voices = read_voices(VOICES.replace(b'2, "The End"', chapter), "v.toml")
    with pytest.raises(ConfigError, match=r"\[BEN\] chapters: b.txt has no chapter"):
        refuse_unvoiced(read_book(TEXT, "b.txt"), voices, "b.txt")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (b"[BEN]\nref = 'b'", r"no \[default\]"),
        (b"default = 3", "is no table"),
        (b"[default]\nref = 3", "ref = 3"),
        (b"[default]\nref = 'a'\nref_text = ' '", "ref_text"),
        (b"[default]\nref = 'a'\nchapters = 3", "chapters = 3"),
        (b"[default]\nref = 'a'\nspeed = 3", "speed: not known"),
        (b"[default]\nref = 'a'\n[Default]\nref = 'a'", "twice"),
        (b"[default", "not TOML"),
    ],
)
def test_what_are_no_voices(toml: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_voices(toml, "v.toml")


def test_options_are_kept_as_they_were() -> None:
    options = NarrationOptions(pauses=pauses_from(["scene=3", "clause=0"]), formats=("mp3", "flac"), lufs=-23)
    assert options_from_dict(options.to_dict()) == options
    assert (options.pauses.scene, options.pauses.clause, options.pauses.sentence) == (
        3.0,
        0.0,
        Pauses().sentence,
    )


@pytest.mark.parametrize("pause", ["scene", "act=1", "scene=long", "scene=-1", "scene=61", "scene=nan"])
def test_what_are_no_pauses(pause: str) -> None:
    with pytest.raises(ConfigError, match="--pause"):
        pauses_from([pause])


@pytest.mark.parametrize(
    "given_", [{"formats": ("avi",)}, {"formats": ()}, {"subtitles": ("ass",)}, {"lufs": 0.0}, {"gap_s": -1}]
)
def test_what_are_no_options(given_: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="--"):
        NarrationOptions(**given_)  # type: ignore[arg-type]
