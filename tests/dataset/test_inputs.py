"""Texts and voices from the files that people have; what cannot be used is counted or refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_sets import write_lines

from pipeline.config import CheckConfig
from pipeline.dataset.inputs import Voice, read_texts, read_voices
from pipeline.errors import ManifestError


def test_lines_that_sound_the_same_are_one_text(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "lines.txt", "The sea is calm.", "", "the sea is CALM!", "  The sea is wide. "
    )
    read = read_texts(path, CheckConfig())
    assert [text.text for text in read.texts] == ["The sea is calm.", "The sea is wide."]
    assert read.left_out == {"duplicate_text": 1, "empty_text": 1}


def test_empty_lines_are_counted_as_empty_cells_are(tmp_path: Path) -> None:
    lines = read_texts(write_lines(tmp_path / "lines.txt", "", "One.", "  ", "Two.", ""), CheckConfig())
    cells = write_lines(tmp_path / "lines.csv", "text,language", ",en", "One.,en", "  ,en", "Two.,en", ",en")
    assert lines == read_texts(cells, CheckConfig(language="en"))
    assert lines.left_out == {"empty_text": 3}


def test_what_a_manifest_would_refuse_is_left_out_and_told(tmp_path: Path) -> None:
    lines = ("Fine.", "<|eot_id|> now", "...", "x" * 50, "bell \x07")
    read = read_texts(write_lines(tmp_path / "lines.txt", *lines), CheckConfig(max_text_chars=40))
    assert [text.text for text in read.texts] == ["Fine."]
    assert read.left_out == {
        "text_has_special_token": 1,
        "text_unspeakable": 1,
        "text_too_long": 1,
        "text_control_characters": 1,
    }


def test_bytes_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_bytes(b"Good.\n\xff\xfe\nNul \0 here.\n")
    read = read_texts(str(tmp_path / "lines.txt"), CheckConfig())
    assert [text.text for text in read.texts] == ["Good."]
    assert read.left_out.total() == 2


def test_tables_have_languages_and_a_plan_chooses_among_them(tmp_path: Path) -> None:
    rows = {"text": ["Hello.", "Guten Tag.", "Bonjour."], "language": ["EN_us", "de", None]}
    pq.write_table(pa.table(rows), tmp_path / "texts.parquet")
    csv = write_lines(tmp_path / "texts.csv", "text,language", "Hello.,EN_us", "Guten Tag.,de", "Bonjour.,")
    for path in (str(tmp_path / "texts.parquet"), csv):
        read = read_texts(path, CheckConfig(language="fr"), ["en", "fr"])
        assert [(text.text, text.language) for text in read.texts] == [
            ("Hello.", "en-US"),
            ("Bonjour.", "fr"),
        ]
        assert read.left_out == {"other_language": 1}


def test_a_list_without_a_text_that_can_be_spoken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no text is left to speak \(text_unspeakable 1\)"):
        read_texts(write_lines(tmp_path / "lines.txt", "..."), CheckConfig())
    with pytest.raises(ManifestError, match="No such file"):
        read_texts(str(tmp_path / "nowhere.txt"), CheckConfig())
    for number, data in enumerate((b"", b"\n\n", b"\xef\xbb\xbf")):
        (tmp_path / f"{number}.txt").write_bytes(data)
        with pytest.raises(ManifestError, match=rf"no texts in .*{number}\.txt; write at least one"):
            read_texts(str(tmp_path / f"{number}.txt"), CheckConfig())
    with pytest.raises(ManifestError, match=r"no texts in .*head\.csv"):
        read_texts(write_lines(tmp_path / "head.csv", "text,language"), CheckConfig())


def test_voices_are_read_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "voices.csv",
        "ref,ref_text,speaker,language,consent_id,License",
        "anna.flac,Hello.,Anna,en_GB,c-1,cc0-1.0",
        "/elsewhere/ben.wav,,Ben,,,",
    )
    assert read_voices(path, CheckConfig()) == (
        Voice("Anna", str(tmp_path / "anna.flac"), "Hello.", "en-GB", "c-1", "cc0-1.0"),
        Voice("Ben", "/elsewhere/ben.wav"),
    )
    assert [voice.speaks("en-US") for voice in read_voices(path, CheckConfig())] == [True, True]
    assert [voice.speaks("de") for voice in read_voices(path, CheckConfig())] == [False, True]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("ref,text", "a.flac,x"), "no column 'speaker'"),
        (("ref,speaker", "a.flac,", ",Ben"), "row 1: missing_speaker.*row 2: missing_ref"),
        (
            ("ref,speaker", "a.flac,Anna", "a.flac,Ben"),
            "row 2: .*a.flac is said to be of 'Ben', and is of 'Anna' already; fix the table",
        ),
        (
            ("ref,speaker", "a.flac,Anna", "b.flac,anna"),
            "row 2: 'anna' and 'Anna' differ in case alone; write one; fix the table",
        ),
        (("ref,speaker", "a.flac,Strauß", "b.flac,STRAUSS"), "row 2: 'STRAUSS' and 'Strauß' differ"),
        (("ref,speaker", "a.flac,Anna", "a.flac,Anna"), "row 2: duplicate_id"),
        (("ref,speaker,language", "a.flac,Anna,english!"), "bad_language"),
        (("ref,speaker",), "no voices"),
    ],
)
def test_voices_that_cannot_be_used_are_refused(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_voices(write_lines(tmp_path / "voices.csv", *lines), CheckConfig())
