from __future__ import annotations

import pytest

from pipeline.report.histogram import count, draw, picture, round_end


def test_counts_by_hand() -> None:
    histogram = count([-0.1, 0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 3.0], 0.0, 1.0, 4)
    assert histogram is not None
    assert histogram.edges == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert histogram.counts == [2, 1, 1, 1]  # 1.0 is in the last bin
    assert (histogram.below, histogram.above) == (1, 2)
    assert histogram.median == 0.375  # between 0.25 and 0.5
    assert picture([], 0.0, 1.0, 4, "WER", str) is None


@pytest.mark.parametrize(
    ("largest", "end"),
    [(0.0, 1.0), (0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (2.2, 2.5), (7.3, 10.0), (30.0, 50.0)],
)
def test_axes_end_at_round_numbers(largest: float, end: float) -> None:
    assert round_end(largest) == pytest.approx(end)


def test_the_picture_says_what_it_shows() -> None:
    histogram = count([0.1, 0.1, 5.0], 0.0, 1.0, 2)
    assert histogram is not None
    svg = draw(histogram, "<WER>", lambda x: f"{x:g}")
    assert 'aria-label="&lt;WER&gt;: 3 rows, median 0.1, the fullest bin holds 2"' in svg
    assert "<title>0–0.5: 2</title>" in svg
    assert "<title>over 1: 1</title>" in svg
    assert svg.count("<rect") == 3
    assert svg.count('class="bar outside"') == 1
