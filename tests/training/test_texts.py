from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.training import texts
from pipeline.training.texts import TextSource

WORDS = ["Boston", "Ruth", "apple", "kettle", "marmalade", "river", "stone", "unwind"]
FOUND = [f"Sentence {'abcdefghijklmnopqrstuvwxyz'[i]} is here." for i in range(24)]


@pytest.mark.parametrize(
    "text",
    [
        "Two heads are better than one.",
        "Then said I, Lo, I come.",
        "That's what a well-known man said!",
        "And what is it good for?",
    ],
)
def test_plain_sentences_fit(text):
    assert list(texts._fitting([text])) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Too short.",
        "There are 24 hours in a day.",
        "no capital at the beginning here.",
        "No mark at the end of it",
        "The NASA flight went well today.",
        "The libfooBar program is ready.",
        'A quote "inside" the sentence.',
        "Two  blanks in a row are odd.",
        "Damn the torpedoes and go ahead.",
        "Far too long " + "and longer " * 6 + "to say.",
    ],
)
def test_other_sentences_do_not(text):
    assert list(texts._fitting([text])) == []


def test_prose_is_cut_into_sentences_across_line_ends():
    prose = "One line goes\n  on here. Is it so?\n\nA new paragraph."
    assert list(texts._sentences(prose)) == ["One line goes on here.", "Is it so?", "A new paragraph."]


def test_the_source_is_a_function_of_its_seed():
    one, same, other = (TextSource(FOUND, WORDS, seed) for seed in (1, 1, 2))
    assert [one[n] for n in range(60)] == [same[n] for n in reversed(range(60))][::-1]
    assert [one[n] for n in range(60)] != [other[n] for n in range(60)]


def test_found_sentences_are_all_read_once_before_any_is_again():
    source = TextSource(FOUND, WORDS, 1)
    # 30 sentences are 24 found and 6 made up
    said = [source[n] for n in range(30)]
    assert sorted(text for text in said if text in FOUND) == sorted(FOUND)
    assert [source[n] for n in range(30, 60) if n % 5 != 4] == [text for text in said if text in FOUND]


def test_made_up_sentences_have_the_form_of_found_ones():
    source = TextSource(FOUND, WORDS, 1)
    made_up = [source[n] for n in range(4, 1004, 5)]
    assert len(set(made_up)) > 150
    for text in made_up:
        assert re.fullmatch(r"[A-Z][A-Za-z' ,-]*[A-Za-z][.?]", text), text
        assert len(text) <= 70
    assert any("hundred" in text for text in made_up)
    assert any("Ruth" in text for text in made_up)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(texts, "WORDS", Path("/nowhere/words"))
    with pytest.raises(ConfigError, match="apt-get install wamerican"):
        texts.read_words()


@pytest.mark.skipif(
    not all(p.exists() for p in (*texts.TEST_PROSE.values(), texts.FORTUNES, texts.WORDS)),
    reason="needs the Debian packages",
)
def test_held_out_sentences_are_in_no_corpus():
    held_out = texts.held_out_sentences(200, seed=0)
    assert len(set(held_out)) == 200
    assert not set(held_out) & set(texts.found_sentences())
    assert all(25 <= len(text) <= 60 for text in held_out)
    assert texts.held_out_sentences(200, seed=0) == held_out
