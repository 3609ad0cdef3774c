"""Word times as files: Praat's TextGrid, NIST's CTM, and SRT for players."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

from pipeline.dataset.word_times import TimedWord
from pipeline.programme.subtitles import Cue, subtitles_bytes

_CUE_COLUMNS = 42  # what subtitle guidelines give a line; a wide character takes two


def textgrid(words: Sequence[TimedWord], duration_s: float) -> str:
    """A TextGrid in the long text form: one tier, `words`, whose silences are empty intervals."""
    intervals = list(_tiled(words, duration_s))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {duration_s:.6f}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "words"',
        "        xmin = 0",
        f"        xmax = {duration_s:.6f}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, (start_s, end_s, text) in enumerate(intervals, start=1):
        quoted = text.replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {start_s:.6f}",
            f"            xmax = {end_s:.6f}",
            f'            text = "{quoted}"',
        ]
    return "\n".join(lines) + "\n"


def ctm(name: str, words: Sequence[TimedWord]) -> str:
    """Lines `<name> <channel> <start> <duration> <word> <confidence>`, seconds."""
    return "".join(
        f"{name} 1 {word.start_s:.3f} {word.end_s - word.start_s:.3f} {word.text} {word.probability:.3f}\n"
        for word in words
    )


def srt(words: Sequence[TimedWord]) -> bytes:
    """Cues of whole words as they are written, a line each."""
    return subtitles_bytes(list(_cues(words)), "srt")


def _cues(words: Sequence[TimedWord]) -> Iterator[Cue]:
    line: list[TimedWord] = []
    for word in words:
        if line and _columns(_written([*line, word])) > _CUE_COLUMNS:
            yield _cue(line)
            line = []
        line.append(word)
    if line:
        yield _cue(line)


def _cue(words: Sequence[TimedWord]) -> Cue:
    return Cue(words[0].start_s, words[-1].end_s, _written(words))


def _written(words: Sequence[TimedWord]) -> str:
    return "".join(word.written for word in words).strip()


def _columns(text: str) -> int:
    return len(text) + sum(east_asian_width(char) in "WF" for char in text)


def _tiled(words: Sequence[TimedWord], duration_s: float) -> Iterator[tuple[float, float, str]]:
    """Intervals that cover all of the clip, in microseconds: what is written meets without a gap."""
    at, end = 0, round(duration_s * 1e6)
    for word in words:
        start, stop = round(word.start_s * 1e6), min(round(word.end_s * 1e6), end)
        if start > at:
            yield at / 1e6, start / 1e6, ""
        yield start / 1e6, stop / 1e6, word.text
        at = stop
    if at < end:
        yield at / 1e6, end / 1e6, ""
