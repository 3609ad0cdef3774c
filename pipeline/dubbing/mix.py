"""The track over a bed of music and effects, which is lowered while somebody speaks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from pipeline.programme.media import Channels
from pipeline.programme.timeline import Samples

LEAD_S = 0.2  # from the bed's own level down, ended when the speech begins
TAIL_S = 0.6  # and up again behind it
_CEILING = 10 ** (-1 / 20)  # -1 dBFS

Spans = Sequence[tuple[int, int]]  # first sample and the one behind the last, by their starts


def duck_gain(spans: Spans, begin: int, end: int, sample_rate: int, depth_db: float) -> Samples:
    """The bed's gain at the samples `begin` to `end`: 1 away from the spans, -depth in them, straight in dB
    between; where ramps meet the lower counts."""
    lead, tail = LEAD_S * sample_rate, TAIL_S * sample_rate
    at = np.arange(begin, end, dtype=np.float64)
    lowered = np.zeros(end - begin)
    for first, behind in spans:
        if first - lead < end and behind + tail > begin:
            away = np.maximum((first - at) / lead, (at - (behind - 1)) / tail)
            np.maximum(lowered, 1.0 - np.maximum(away, 0.0), out=lowered)
    return np.asarray(10.0 ** (-depth_db * lowered / 20), np.float32)


def mixed(
    speech: Callable[[], Iterable[Samples]],
    bed: Callable[[], Iterable[Channels]],
    spans: Spans,
    sample_rate: int,
    depth_db: float,
) -> Iterator[Channels]:
    """Blocks of the mix, in the channels of the bed; all of it lowered if its peak would be over -1 dBFS.

    `speech` and `bed` begin anew at each call; their blocks are of the same lengths.
    """
    return below_full_scale(lambda: _sums(speech(), bed(), spans, sample_rate, depth_db))


def below_full_scale(blocks: Callable[[], Iterable[Channels]]) -> Iterator[Channels]:
    """All of the blocks lowered if their peak would be over -1 dBFS. `blocks` begins anew at each call."""
    peak = max((float(np.abs(block).max(initial=0.0)) for block in blocks()), default=0.0)
    gain = np.float32(min(1.0, _CEILING / peak if peak else 1.0))
    for block in blocks():
        yield block * gain


def _sums(
    speech: Iterable[Samples], bed: Iterable[Channels], spans: Spans, sample_rate: int, depth_db: float
) -> Iterator[Channels]:
    begin = 0
    for voice, under in zip(speech, bed, strict=True):
        gain = duck_gain(spans, begin, begin + len(voice), sample_rate, depth_db)
        begin += len(voice)
        yield under * gain[:, None] + voice[:, None]
