"""Where each segment lies in the programme, to the sample. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.narration.script import Script
from pipeline.narration.takes import Heard, silences
from pipeline.programme.encode import ChapterMark
from pipeline.programme.timeline import Samples, sample_at

KEPT_SILENCE_S = 0.05  # of what a take has around its speech: the pauses are the script's


@dataclass(frozen=True, slots=True)
class Placed:
    """Samples `begin` to `end` of its take lie from `start` on, `pause` samples of silence behind them.

    Without a take it is a gap: `end` samples of silence.
    """

    heard: Heard
    start: int
    begin: int
    end: int
    pause: int

    @property
    def length(self) -> int:
        return self.end - self.begin

    @property
    def behind(self) -> int:
        """The sample at which the next one begins."""
        return self.start + self.length + self.pause


def sample_rate_of(heard: Iterable[Heard]) -> int | None:
    """None where there is no take at all. Raises ConfigError for takes of several rates."""
    rates = {each.take.values["sample_rate"] for each in heard if each.take is not None}
    if len(rates) > 1:
        raise ConfigError(f"the rounds speak at {sorted(rates)} Hz: narrate with one codec, into a new --out")
    return rates.pop() if rates else None


def place(heard: Sequence[Heard], sample_rate: int, gap_s: float) -> list[Placed]:
    placed: list[Placed] = []
    for each in heard:
        start = placed[-1].behind if placed else 0
        begin, end = (0, sample_at(gap_s, sample_rate)) if each.take is None else _speech(each, sample_rate)
        pause = sample_at(each.segment.pause_s, sample_rate)
        placed.append(Placed(each, start, begin, end, pause))
    return placed


def _speech(each: Heard, sample_rate: int) -> tuple[int, int]:
    assert each.take is not None
    length = int(each.take.values["num_samples"])
    before_s, behind_s = (max(s - KEPT_SILENCE_S, 0.0) for s in silences(each.take.values))
    begin, end = sample_at(before_s, sample_rate), length - sample_at(behind_s, sample_rate)
    return (begin, end) if begin < end else (0, length)


def chapter_bounds(placed: Sequence[Placed]) -> dict[int, tuple[int, int]]:
    """Chapter -> its first sample, and the one behind its last; they follow each other without a gap."""
    bounds: dict[int, tuple[int, int]] = {}
    for each in placed:
        number = each.heard.segment.chapter
        bounds[number] = (bounds.get(number, (each.start, 0))[0], each.behind)
    return bounds


def chapter_marks(placed: Sequence[Placed], script: Script, sample_rate: int) -> list[ChapterMark]:
    return [
        ChapterMark(begin / sample_rate, end / sample_rate, script.chapters[number - 1])
        for number, (begin, end) in chapter_bounds(placed).items()
    ]


def parted_at(blocks: Iterable[Samples], ends: Sequence[int]) -> Iterator[tuple[int, Samples]]:
    """The blocks of a track, cut where parts of it end: (index of the part, block)."""
    at, part = 0, 0
    for block in blocks:
        while len(block):
            while part < len(ends) - 1 and at >= ends[part]:
                part += 1
            count = len(block) if part == len(ends) - 1 else min(len(block), ends[part] - at)
            yield part, block[:count]
            block, at = block[count:], at + count
