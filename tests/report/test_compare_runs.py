from __future__ import annotations

import pytest
from small_runs import failed, spoken

from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.compare import add_changes, compare
from pipeline.report.entries import entry_of


def rows(*made: Row) -> list[Row]:
    return to_table(list(made), RESULT_ROW).to_pylist()


TEXT = "one two three four"


def test_what_changed_between_two_runs() -> None:
    here = rows(
        spoken(1, TEXT, "one two three four", speaker="a", similarity=0.75),  # 0, was 1/4
        spoken(2, TEXT, "one two", speaker="b", similarity=0.5),  # 2/4, was 1/4
        spoken(3, TEXT, "one two three", speaker="c", similarity=None),  # 1/4, was 1/4
        failed(4),
        spoken(5, "other text", "other text"),
        spoken(6, TEXT, TEXT),
    )
    there = rows(
        spoken(1, TEXT, "one two three", speaker="a", similarity=0.5),
        spoken(2, TEXT, "one two three", speaker="b", similarity=0.5),
        spoken(3, TEXT, "one two three", speaker="c", similarity=0.5),
        spoken(4, TEXT, TEXT),
        spoken(5, TEXT, TEXT),
        spoken(7, TEXT, TEXT),
        failed(8),
    )
    found = compare(here, there)
    assert (found.common, found.only_here, found.only_there, found.other_text) == (5, 1, 2, 2)
    assert (found.newly_lost, found.newly_ok) == (1, 0)
    assert found.words is not None
    assert found.words.values == [-25.0, 25.0, 0.0]
    assert (found.words.rows, found.words.mean, found.words.fell, found.words.rose) == (3, 0.0, 1, 1)
    assert found.chars is None
    assert found.similarity is not None
    assert (found.similarity.rows, found.similarity.mean) == (2, 0.125)  # (0.25 + 0) / 2
    # a draw of the two voices is aa, ab or bb: 0.25, 0.125 or 0; two voices ask for 9.168 times as much
    half = pytest.approx(9.168 * 0.125, abs=1e-3)
    assert (found.similarity.high - 0.125, 0.125 - found.similarity.low) == (half, half)
    assert (found.similarity.resolvable, found.similarity.voices) == (half, 2)
    assert found.unlike == []


def test_the_interval_draws_whole_voices() -> None:
    # every voice changed by the same amount, whatever its number of rows: the interval is a point
    voices = "abbcccc"
    here = rows(*(spoken(i, TEXT, "one two", speaker=v) for i, v in enumerate(voices)))
    there = rows(*(spoken(i, TEXT, TEXT, speaker=v) for i, v in enumerate(voices)))
    words = compare(here, there).words
    assert words is not None
    assert (words.mean, words.low, words.high) == (50.0, pytest.approx(50), pytest.approx(50))
    assert words.lower == 0.0, "never in a draw"
    assert words.resolvable == pytest.approx(100 / (7 * 4)), "one word of four, in one row of seven"


def test_one_voice_has_no_interval() -> None:
    here = rows(*(spoken(i, TEXT, "one two", speaker="a") for i in range(3)))
    words = compare(here, rows(*(spoken(i, TEXT, TEXT, speaker="a") for i in range(3)))).words
    assert words is not None
    assert (words.mean, words.low, words.resolvable, words.lower) == (50.0, None, None, None)


def test_only_what_was_delivered_by_both_is_compared() -> None:
    lost = spoken(1, TEXT, "noise", status="rejected", gate="rejected")
    both = [spoken(2, TEXT, TEXT), spoken(3, "今日", "今日", language="ja")]
    here, there = rows(lost, *both), rows(spoken(1, TEXT, TEXT), *both)
    found = compare(here, there)
    assert (found.newly_lost, found.newly_ok) == (1, 0)
    assert found.words is not None
    assert found.words.values == [0.0]
    assert found.chars is not None
    assert found.chars.rows == 1
    entries = [entry_of(row) for row in there]
    add_changes(entries, there, here)
    assert entries[0]["before"]["status"] == "rejected"


def test_rates_of_another_unit_are_not_compared() -> None:
    here, there = rows(spoken(1, "今日", "今日")), rows(spoken(1, "今日", "今日わ", normalizer="en/1"))
    here[0]["normalizer"] = "ja/1"
    found = compare(here, there)
    assert (found.words, found.chars) == (None, None)
    entries = [entry_of(row) for row in here]
    add_changes(entries, here, there)
    assert "rate" not in entries[0]["before"]


def test_scores_that_were_not_made_alike_are_named() -> None:
    here = rows(spoken(1, TEXT, TEXT), spoken(2, TEXT, None, similarity=None, speaker_encoder="x"))
    there = rows(spoken(1, TEXT, TEXT, transcriber="whisper@1"), spoken(2, TEXT, None, similarity=None))
    assert compare(here, there).unlike == ["transcriber: demo:ear-1 here, whisper@1 there"]


def test_a_ground_truth_may_be_all_that_was_compared() -> None:
    truth = {"similarity": None, "similarity_ground_truth": 0.5, "ground_truth_id": "g"}
    here = rows(spoken(1, TEXT, None, **truth, speaker_encoder="a"))
    there = rows(spoken(1, TEXT, None, **truth, speaker_encoder="b"))
    assert compare(here, there).unlike == ["speaker encoder: a here, b there"]


def test_how_a_transcriber_decodes_is_part_of_what_is_alike() -> None:
    here = rows(spoken(1, TEXT, TEXT, transcriber_dtype="float32", transcriber_decoding="engine=a"))
    there = rows(spoken(1, TEXT, TEXT, transcriber_dtype="float16", transcriber_decoding="engine=a"))
    assert compare(here, there).unlike == ["transcriber dtype: float32 here, float16 there"]
    assert compare(here, rows(spoken(1, TEXT, TEXT))).unlike == [], "a run of a version that did not say"


def said(row: int, voice: str, similarity: float | None, recording: str = "r") -> Row:
    """A row with a ground truth."""
    truth = {"ground_truth_audio": f"{recording}.flac", "ground_truth_id": f"{recording}{row}"}
    return spoken(row, TEXT, TEXT, speaker=voice, similarity_ground_truth=similarity, **truth)


def test_similarity_to_the_ground_truth_where_both_have_it() -> None:
    here = rows(
        said(1, "a", 0.75), said(2, "b", 0.5), said(3, "b", None), said(4, "c", 0.9), spoken(5, TEXT, TEXT)
    )
    there = rows(
        said(1, "a", 0.5),
        said(2, "b", 0.5),
        said(3, "b", 0.5),
        said(4, "c", 0.1, "another"),
        said(5, "c", 0.5),
    )
    found = compare(here, there).similarity_ground_truth
    assert found is not None
    assert (found.values, found.mean, found.fell, found.rose) == ([0.25, 0.0], 0.125, 0, 1)
    assert (found.voices, found.resolvable, found.lower) == (2, pytest.approx(1.146, abs=1e-3), None)
    assert compare(here, rows(spoken(1, TEXT, TEXT))).similarity_ground_truth is None
    entries = [entry_of(row) for row in here]
    add_changes(entries, here, there)
    assert [entry["before"].get("simTruth") for entry in entries] == [0.5, 0.5, 0.5, None, None]


def test_rows_carry_what_they_had_before() -> None:
    here = rows(spoken(1, TEXT, TEXT), spoken(2, TEXT, TEXT), spoken(3, "another", "another"))
    entries = [entry_of(row) for row in here]
    add_changes(entries, here, rows(spoken(1, TEXT, "one two"), spoken(3, TEXT, TEXT)))
    assert entries[0]["before"] == {"status": "ok", "rate": 0.5, "sim": 0.5, "heard": "one two"}
    assert "before" not in entries[1]
    assert "before" not in entries[2], "its text is another there"
