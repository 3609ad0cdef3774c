"""Clips placed on a track, exact to the sample. Pure; a track of hours is never whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

BLOCK = 2**16  # samples of a track that are made at once
FADE_S = 0.005  # no click, and nothing of a consonant lost


@dataclass(frozen=True, slots=True)
class Clip:
    """Mono samples [N] and the sample of the track that their first lies on."""

    start: int
    samples: Samples

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def sample_at(seconds: float, sample_rate: int) -> int:
    """The sample nearest to a time, halves rounded up, without a float's error at late times."""
    return floor(Fraction(str(seconds)) * sample_rate + Fraction(1, 2))


def track_blocks(clips: Iterable[Clip], length: int, block: int = BLOCK) -> Iterator[Samples]:
    """A track of `length` samples, silent but for the clips, as blocks; where clips overlap they are added.

    The clips come by their start and are asked for one at a time, when the track reaches them. Raises
    ValueError for one that begins before its forerunner or lies beyond the track's ends.
    """
    waiting = iter(clips)
    following, last = next(waiting, None), 0
    sounding: list[Clip] = []
    for begin in range(0, length, block):
        end = min(begin + block, length)
        while following is not None and following.start < end:
            if not last <= following.start or following.end > length:
                raise ValueError(f"a clip at {following.start} to {following.end} on a track of {length}")
            sounding.append(following)
            last = following.start
            following = next(waiting, None)
        track = np.zeros(end - begin, np.float32)
        for clip in sounding:
            a, b = max(clip.start, begin), min(clip.end, end)
            track[a - begin : b - begin] += clip.samples[a - clip.start : b - clip.start]
        sounding = [clip for clip in sounding if clip.end > end]
        yield track
    if following is not None:
        raise ValueError(f"a clip at {following.start} on a track of {length}")


def faded(samples: Samples, sample_rate: int, *, in_s: float = FADE_S, out_s: float = FADE_S) -> Samples:
    """With straight ramps at both ends, each at most half of the clip."""
    made = samples.copy()
    for seconds, part in ((in_s, made), (out_s, made[::-1])):
        count = min(sample_at(seconds, sample_rate), len(samples) // 2)
        part[:count] *= (np.arange(count, dtype=np.float32) + 0.5) / max(count, 1)
    return made
