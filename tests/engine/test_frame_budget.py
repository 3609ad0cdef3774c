from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine import frame_budget
from pipeline.engine.frame_budget import estimate_duration_s, max_new_frames, num_semantic_frames


def at_150_words_a_minute(target_text: str) -> int:
    """Words, or eight characters for each, at 150 a minute; half as much again, in frames."""
    word_count = len(target_text.split())
    char_count = len(target_text)
    word_duration = (word_count / 150) * 60
    char_duration = (char_count / 8) * 60 / 150
    estimated_duration = max(word_duration, char_duration) * 1.5
    return int(estimated_duration * 25)


@given(st.text(alphabet="ابتثجحخدذرز ٠١٢", min_size=1, max_size=400))
def test_arabic_goes_by_150_words_a_minute(text):
    assert max_new_frames(text, "ar", 25.0) == max(at_150_words_a_minute(text), 50)


def test_rates_have_the_means_that_the_study_reports():
    # abstract of Trauzettel-Klosinski & Dietz 2012: 184 words and 863 characters a minute over 17 languages;
    # we leave out Arabic (138 words, 612 characters) and the words of Japanese (193) and Chinese (158)
    rates = {k: v for k, v in frame_budget._READ_ALOUD.items() if k != "ko"}
    chars = [rate.chars_per_minute for rate in rates.values()] + [612]
    words = [rate.words_per_minute for rate in rates.values() if rate.words_per_minute] + [138, 193, 158]
    assert (len(chars), len(words)) == (17, 17)
    assert round(sum(chars) / 17) == 863
    assert round(sum(words) / 17) == 184


def test_english_narration_is_150_words_a_minute():
    assert estimate_duration_s("so " * 150, "en-GB") == pytest.approx(60)


def test_characters_count_where_words_are_long_or_absent():
    # 987 characters are one minute of reading aloud, and narration takes 228/150 of it
    assert estimate_duration_s("x" * 987, "en") == pytest.approx(60 * 228 / 150)
    assert estimate_duration_s("字" * 255, "zh") == pytest.approx(60 * 228 / 150)


def test_digits_take_as_long_as_their_names():
    assert estimate_duration_s("1998", "en") == pytest.approx(estimate_duration_s("x" * 20, "en"))


@given(st.text(max_size=200), st.text(max_size=50), st.sampled_from(["en", "zh", "ar", "xx", "de-AT", "ko"]))
def test_more_text_never_has_less_room(text, more, language):
    assert max_new_frames(text + more, language, 25.0) >= max_new_frames(text, language, 25.0)


def test_floor_and_cap():
    assert max_new_frames("Hi", "en", 25.0) == 50  # 2 s
    assert max_new_frames("Hi", "en", 12.5) == 25
    assert max_new_frames("word " * 500, "en", 25.0, max_duration_s=3.0) == 75
    assert max_new_frames("Hi", "en", 25.0, max_duration_s=0.5) == 12
    assert max_new_frames("Hi", "en", 25.0, max_duration_s=0.001) == 1


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (1, 1), (640, 1), (641, 2), (16_000, 25), (84_651, 133)]
)
def test_semantic_frames(samples, frames):
    # the last pair: a reference of 84651 samples had codes [8, 133]
    assert num_semantic_frames(samples) == frames
