from __future__ import annotations

import pytest

from pipeline.metrics.normalizers import NORMALIZERS
from pipeline.report.alignment import Piece, align, normalizer_of


@pytest.mark.parametrize(
    ("asked", "heard", "pieces"),
    [
        (
            "The quiet garden is green.",
            "the garden was green now",
            [
                Piece("equal", "the", "the"),
                Piece("delete", "quiet", ""),
                Piece("equal", "garden", "garden"),
                Piece("substitute", "is", "was"),
                Piece("equal", "green", "green"),
                Piece("insert", "", "now"),
            ],
        ),
        ("Good evening.", "", [Piece("delete", "good evening", "")]),
        ("...", "thank you", [Piece("insert", "", "thank you")]),
        ("50!", "fifty", [Piece("equal", "fifty", "fifty")]),  # by the normaliser, as it is scored
        ("...", "", []),
    ],
)
def test_words(asked: str, heard: str, pieces: list[Piece]) -> None:
    assert align(asked, heard, NORMALIZERS["en"]) == pieces


def test_characters_where_they_are_the_unit() -> None:
    assert align("今日は、いい天気", "今日わ天気", NORMALIZERS["ja"]) == [
        Piece("equal", "今日", "今日"),
        *align("はいい", "わ", NORMALIZERS["ja"]),
        Piece("equal", "天気", "天気"),
    ]
    # Korean keeps its spaces for WER, but its characters are scored without them
    assert align("안녕 하세요", "안녕하세요", NORMALIZERS["ko"]) == [
        Piece("equal", "안녕하세요", "안녕하세요")
    ]


def test_the_normaliser_is_the_one_the_row_was_scored_with() -> None:
    assert normalizer_of("ar_loose/1", "en").id == "ar_loose/1"
    assert normalizer_of("gone/7", "ja-JP").id == "ja/1"
    assert normalizer_of(None, None).id == "generic/1"
