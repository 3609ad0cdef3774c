"""How many audio frames a text may take: an upper bound that stops a model which never says EOS."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.engine.dialogue import spoken_text
from pipeline.languages import primary_subtag


class _Rate(NamedTuple):
    words_per_minute: float | None  # None: the script puts no spaces between words
    chars_per_minute: float


# Reading aloud, means over native speakers: the IReST study (Trauzettel-Klosinski & Dietz 2012, IOVS
# 53:5452, doi:10.1167/iovs.11-8284). Its Arabic row is not used: see `estimate_duration_s`.
_READ_ALOUD = {
    "de": _Rate(179, 920),
    "en": _Rate(228, 987),
    "es": _Rate(218, 1025),
    "fi": _Rate(161, 1078),
    "fr": _Rate(195, 998),
    "he": _Rate(187, 833),
    "it": _Rate(188, 950),
    "ja": _Rate(None, 357),
    # Not in the study: a block is a syllable, and no faster to say than the kana of Japanese.
    "ko": _Rate(None, 357),
    "nl": _Rate(202, 978),
    "pl": _Rate(166, 916),
    "pt": _Rate(181, 913),
    "ru": _Rate(184, 986),
    "sl": _Rate(180, 885),
    "sv": _Rate(199, 917),
    "tr": _Rate(166, 1054),
    "zh": _Rate(None, 255),
}
# Others get the slowest spaced language's: too large a budget costs less than speech cut short.
_UNKNOWN = _Rate(161, 833)

# Narration runs at about 150 English words a minute, two thirds of the study's "as fast as you can".
_NARRATION = 150 / 228
# "7" is one character and a word of about five when spoken.
_CHARS_PER_DIGIT = 5

BUFFER = 1.5
FLOOR_S = 2.0


def estimate_duration_s(text: str, language: str) -> float:
    """Seconds of speech in `text`, the larger of a guess from its words and one from its characters.

    `language` is a BCP 47 tag of which the primary part counts; speaker tags do not count. Arabic is
    taken at 150 words, or 8 x 150 characters, a minute.
    """
    text = spoken_text(text)
    words, chars = len(text.split()), len(text)
    primary = primary_subtag(language)
    if primary == "ar":
        return max((words / 150) * 60, (chars / 8) * 60 / 150)
    rate = _READ_ALOUD.get(primary, _UNKNOWN)
    chars += (_CHARS_PER_DIGIT - 1) * sum(c.isdecimal() for c in text)
    minutes = chars / rate.chars_per_minute
    if rate.words_per_minute is not None:
        minutes = max(minutes, words / rate.words_per_minute)
    return 60 * minutes / _NARRATION


def max_new_frames(text: str, language: str, frame_rate: float, max_duration_s: float | None = None) -> int:
    """The most audio frames to generate for `text`, without the K - 1 steps of the delay pattern.

    The estimate with half as much again, never under two seconds (one word may be said slowly); a row's
    own `max_duration_s` caps both.
    """
    frames = int(max(estimate_duration_s(text, language) * BUFFER, FLOOR_S) * frame_rate)
    if max_duration_s is not None:
        frames = min(frames, int(max_duration_s * frame_rate))
    return max(frames, 1)


# one semantic frame: Whisper's mel hop of 160 samples, its stride of 2, and pooling by 2 = 40 ms at 16 kHz
WHISPER_POOLING = 2
_SAMPLES_PER_SEMANTIC_FRAME = 160 * 2 * WHISPER_POOLING


def num_semantic_frames(num_samples: int) -> int:
    """25 Hz frames that cover `num_samples` of 16 kHz audio, the last one perhaps in part."""
    return -(-num_samples // _SAMPLES_PER_SEMANTIC_FRAME)
