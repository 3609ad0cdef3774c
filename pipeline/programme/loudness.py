"""Loudness of programmes, by ffmpeg's filters: measured and levelled a block at a time.

EBU R128 and ITU-R BS.1770: integrated loudness in LUFS, true peak in dBTP at four times the rate or more.
Mono counts as one channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AtEnd
from av.filter import Graph

from pipeline.programme.timeline import Samples

SILENT_LUFS = -70.0  # what R128's absolute gate leaves nothing of
OVERSAMPLING = 4
TRUE_PEAK_DBTP = -1.0
_LIMITER_MARGIN_DB = 0.1  # what the way back to the programme's rate may add
_CLOSE_ENOUGH_LU = 0.1
_CORRECTIONS = 4
_SETTLING_S = 0.5  # of silence behind the end: the meter speaks every 0.1 s
_Chain = list[tuple[str, str]]
_MONO = ("aformat", "sample_fmts=flt:channel_layouts=mono")


@dataclass(frozen=True, slots=True)
class Loudness:
    integrated_lufs: float  # SILENT_LUFS and below: nothing to measure
    true_peak_dbtp: float


class LoudnessMeter:
    """Hears blocks [N] as they go by."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._meter = _Filter(sample_rate, [("ebur128", "metadata=1")])
        # the meter tells peaks to three digits only
        self._oversampled = _Filter(sample_rate, [("aresample", str(sample_rate * OVERSAMPLING)), _MONO])
        self._integrated, self._peak = SILENT_LUFS, 0.0

    def hear(self, block: Samples) -> None:
        self._take(self._meter.push(block), self._oversampled.push(block))

    def result(self) -> Loudness:
        self.hear(np.zeros(int(self._rate * _SETTLING_S), np.float32))
        self._take(self._meter.end(), self._oversampled.end())
        peak_db = 20 * math.log10(self._peak) if self._peak > 0 else -math.inf
        return Loudness(self._integrated, peak_db)

    def _take(self, metered: Iterable[AudioFrame], oversampled: Iterable[AudioFrame]) -> None:
        for frame in metered:
            self._integrated = float(frame.metadata.get("lavfi.r128.I", self._integrated))
        for frame in oversampled:
            self._peak = max(self._peak, float(np.abs(frame.to_ndarray()).max(initial=0.0)))


@dataclass(frozen=True, slots=True)
class Level:
    """One gain for the whole programme; `limit_dbtp` where its peaks would go over."""

    gain_db: float
    limit_dbtp: float | None = None

    def apply(self, blocks: Iterable[Samples], sample_rate: int) -> Iterator[Samples]:
        """The blocks louder or softer; as many samples as came."""
        gain = np.float32(10 ** (self.gain_db / 20))
        louder = (block * gain for block in blocks)
        return louder if self.limit_dbtp is None else _limited(louder, sample_rate, self.limit_dbtp)


def measure(blocks: Iterable[Samples], sample_rate: int) -> Loudness:
    meter = LoudnessMeter(sample_rate)
    for block in blocks:
        meter.hear(block)
    return meter.result()


def level_for(
    programme: Callable[[], Iterable[Samples]],
    sample_rate: int,
    target_lufs: float,
    limit_dbtp: float = TRUE_PEAK_DBTP,
) -> Level:
    """The gain that brings a programme to `target_lufs`; it is walked through once, more often if limited.

    A limiter works only where peaks would go over; what it takes of the loudness the gain gives back.
    Where there is nothing to be heard nothing is changed.
    """
    found = measure(programme(), sample_rate)
    if found.integrated_lufs <= SILENT_LUFS:
        return Level(0.0)
    gain_db = target_lufs - found.integrated_lufs
    if found.true_peak_dbtp + gain_db <= limit_dbtp:
        return Level(gain_db)
    for _ in range(_CORRECTIONS):
        level = Level(gain_db, limit_dbtp)
        off = target_lufs - measure(level.apply(programme(), sample_rate), sample_rate).integrated_lufs
        if abs(off) <= _CLOSE_ENOUGH_LU:
            break
        gain_db += off
    return Level(gain_db, limit_dbtp)


def _limited(blocks: Iterable[Samples], sample_rate: int, limit_dbtp: float) -> Iterator[Samples]:
    limit = 10 ** ((limit_dbtp - _LIMITER_MARGIN_DB) / 20)
    chain = [
        ("aresample", str(sample_rate * OVERSAMPLING)),
        ("alimiter", f"limit={limit:.6f}:level=disabled:attack=5:release=50:latency=1"),
        ("aresample", str(sample_rate)),
        _MONO,
    ]
    filter_, came, went = _Filter(sample_rate, chain), 0, 0
    for block in blocks:
        came += len(block)
        for frame in filter_.push(block):
            went += frame.samples
            yield frame.to_ndarray()[0]
    tail = [frame.to_ndarray()[0] for frame in filter_.end()]
    # the resamplers may end a sample early or late
    left = np.concatenate([*tail, np.zeros(max(came - went, 0), np.float32)])
    yield left[: came - went]


class _Filter:
    """A chain of ffmpeg's filters on mono float samples."""

    def __init__(self, sample_rate: int, chain: _Chain) -> None:
        self._graph, self._rate, self._at = Graph(), sample_rate, 0
        last = self._graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono")
        for name, arguments in [*chain, ("abuffersink", "")]:
            node = self._graph.add(name, arguments)
            last.link_to(node)
            last = node
        self._graph.configure()

    def push(self, block: Samples) -> Iterator[AudioFrame]:
        if len(block) == 0:
            return
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(block[None, :], np.float32), format="flt", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._at
        self._at += len(block)
        self._graph.push(frame)
        yield from self._pulled()

    def end(self) -> Iterator[AudioFrame]:
        self._graph.push(None)
        yield from self._pulled()

    def _pulled(self) -> Iterator[AudioFrame]:
        while True:
            try:
                frame = self._graph.pull()
            except (NothingYet, AtEnd):
                return
            assert isinstance(frame, AudioFrame)
            yield frame
