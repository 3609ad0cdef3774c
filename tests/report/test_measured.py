from __future__ import annotations

import pytest
from small_runs import spoken

from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.measured import MEASURES, measured


def told(**values: object) -> dict[str, str]:
    [row] = to_table([spoken(1, "a", "a", **values)], RESULT_ROW).to_pylist()
    return dict(measured(row))


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"leading_silence_s": 0.124, "trailing_silence_s": 1.5}, "silence", "0.12 s before, 1.50 s after"),
        ({"trailing_silence_s": 0.0}, "silence", "0.00 s after"),
        ({"speech_ratio": 0.825}, "speech", "82\u202f%"),
        (
            {"length_ratio": 1.254, "chars_per_s": 12.34},
            "pace",
            "1.25 times, 12.3 characters a second",
        ),
        ({"prompt_echo_wer": 0.95}, "echo", "95\u202f%"),
        (
            {"similarity_window_min": 0.31, "similarity": 0.5},
            "drift",
            "0.31 at the lowest, 0.50 of the whole",
        ),
        ({"similarity_window_min": 0.31, "similarity": None}, "drift", "0.31"),
        ({"clipped_fraction": 0.0012}, "clipping", "0.12\u202f%"),
        ({"clipped_fraction": 0.0}, "clipping", "none"),
        ({"language_heard": "en", "language_probability": 0.98}, "language", "en, 98\u202f% sure"),
        ({"language_heard": "en", "language": "en-GB"}, "language", "en"),
        (
            {"language_heard": "fr", "language_probability": 0.6},
            "language",
            "fr, 60\u202f% sure; asked for en",
        ),
        ({"dnsmos_ovrl": 3.14}, "dnsmos", "3.1"),
    ],
)
def test_in_words(values: dict[str, object], key: str, says: str) -> None:
    assert told(**values) == {key: says}
    assert MEASURES[key][1], "and with what it means"


def test_what_was_not_measured_is_not_told() -> None:
    assert told() == {}
    assert told(dnsmos_ovrl=float("nan"), length_ratio=float("inf")) == {}
    row: Row = {"similarity": None, "language": "en"}
    assert measured(row) == [], "an old row lacks the columns"


def test_an_echo_is_a_rate_of_the_language_s_own_unit() -> None:
    """Of characters where they are the words: what it means must hold for both."""
    meaning = MEASURES["echo"][1]
    assert meaning.startswith("error rate")
    assert "WER" not in meaning
