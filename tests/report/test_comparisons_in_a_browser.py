"""Two runs beside each other on the page: what has changed is told as finely as it is scored, and counted alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from page_here import IDS, choose, complaints, needs_browser, report, row_of
from small_runs import judged, spoken, take, write_run

pytestmark = needs_browser
TEXT = " ".join(["tree"] * 250)
STATUS = "[...document.querySelectorAll('#status option')].map(x => x.textContent)"


def heard(wrong: int) -> str:
    """`wrong` of the text's 250 words are others."""
    return " ".join(["bush"] * wrong + ["tree"] * (250 - wrong))


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    there = [
        spoken(1, TEXT, heard(13), similarity=0.75),
        spoken(2, TEXT, heard(5)),
        spoken(3, TEXT, heard(5)),
        judged(spoken(4, TEXT, heard(100)), "rejected", [take(0, "wer: 0.4 is over 0.3")]),
    ]
    here = [
        spoken(1, TEXT, heard(12), similarity=0.752),
        spoken(2, TEXT, heard(80)),
        judged(spoken(3, TEXT, heard(100)), "rejected", [take(0, "wer: 0.4 is over 0.3")]),
        spoken(4, TEXT, heard(5)),
    ]
    return report(tmp_path, here, compare_with=write_run(str(tmp_path / "there"), there))


def test_a_change_is_told_to_a_tenth_of_a_point(chromium: Browser, compared: Path) -> None:
    chromium.open(compared)
    told = "[...{}.querySelectorAll('.score p')].map(x => x.textContent)"
    # 13 of 250 words are 5.2 %, 12 are 4.8 %; 0.752 and 0.75 read alike
    assert chromium.js(told.format(row_of("utt-1")))[-2:] == [
        *("WER was 5.2\u202f% \u22120.4", "sim. was 0.75 (the same)")
    ]
    # 80 of 250 words less 5
    assert "WER was 2.0\u202f% +30.0" in chromium.js(told.format(row_of("utt-2")))
    assert complaints(chromium) == []


def test_filters_count_the_rows_that_the_tile_counts(chromium: Browser, compared: Path) -> None:
    """What was rejected here or there is in neither."""
    chromium.open(compared)
    tile = chromium.js("document.querySelector('.compared .tile').textContent")
    assert "1 rows better, 1 worse, 0 the same" in tile
    assert [text for text in chromium.js(STATUS) if "there" in text] == [
        *("worse than there (1)", "better than there (1)")
    ]
    choose(chromium, "status", "worse")
    assert chromium.js(IDS) == ["utt-2"]
    choose(chromium, "status", "better")
    assert chromium.js(IDS) == ["utt-1"]
