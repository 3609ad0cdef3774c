"""Aggregates with intervals: what a set of this size can and cannot say.

Rows of one voice fail together, so the bootstrap draws whole voices (blocked; Liu and Peng 2019,
arXiv 1912.09508) and takes percentiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
# rows x resamples that are held at once, about 100 MB
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """What a row adds to an aggregate: its errors, its N > 0 (their ratio is its rate), and its voice."""

    errors: int
    units: int
    voice: str


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its interval; None where nothing was there to estimate it from.

    `low` and `high` are None for fewer than two voices too: one block has no spread to measure.
    """

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Resample:
    """Voices drawn with replacement, `times` [R, V], seen as the rows of sorted rates [n]."""

    times: Ints
    rates: Floats
    errors: Ints
    units: Ints
    voice_of: Ints

    @cached_property
    def _weights(self) -> Floats:
        return self.times.astype(np.float64)  # integers are multiplied without BLAS

    @cached_property
    def _upto(self) -> npt.NDArray[np.int32]:
        """How many drawn rows have one of the i + 1 lowest rates, [R, n]."""
        times = self.times.astype(np.int32)[:, self.voice_of]
        return np.cumsum(times, axis=1, dtype=np.int32, out=times)

    def ratio(self, upper: npt.NDArray[np.float64 | np.int64], lower: Ints) -> Floats:
        """sum(upper) / sum(lower) over the drawn rows, per resample. Summed per voice first: cheap."""
        voices = self.times.shape[1]
        numerator = self._weights @ np.bincount(self.voice_of, upper, voices)
        denominator = self._weights @ np.bincount(self.voice_of, lower, voices)
        made: Floats = numerator / denominator
        return made

    def quantile(self, q: float) -> Floats:
        """numpy's linear percentile of the drawn rows: between the order statistics about q (n - 1)."""
        position = q * (self._upto[:, -1] - 1)
        below = np.floor(position)
        lower = self.rates[_first_over(self._upto, below)]
        upper = self.rates[_first_over(self._upto, np.ceil(position))]
        made: Floats = lower + (position - below) * (upper - lower)
        return made


def _first_over(upto: npt.NDArray[np.int32], k: Floats) -> Ints:
    """The index of order statistic k (from 0), row by row of cumulated counts."""
    found: Ints = np.argmax(upto > k.astype(np.int32)[:, None], axis=1)
    return found


AGGREGATES: dict[str, Callable[[Resample], Floats]] = {
    "macro": lambda drawn: drawn.ratio(drawn.rates, np.ones_like(drawn.units)),
    # one loop of 400 % cannot hide what the other rows say
    "macro_clipped": lambda drawn: drawn.ratio(np.minimum(drawn.rates, 1.0), np.ones_like(drawn.units)),
    "micro": lambda drawn: drawn.ratio(drawn.errors, drawn.units),
    "median": lambda drawn: drawn.quantile(0.5),
    "p95": lambda drawn: drawn.quantile(0.95),
    "share_over_50_percent": lambda drawn: drawn.ratio(
        (drawn.rates > 0.5).astype(np.float64), np.ones_like(drawn.units)
    ),
}


def scored_rows(
    rows: Iterable[Mapping[str, Any]], metric: Literal["wer", "cer"] = "wer"
) -> dict[str, ScoredRow]:
    """The scored among result rows (`RESULT_ROW`) by utterance id; the voice is the prompt, else the speaker.

    A row without a score, or whose reference is empty, is not among them: count it beside.
    """
    length = {"wer": "wer_reference_words", "cer": "cer_reference_chars"}[metric]
    kinds = [f"{metric}_{kind}" for kind in ("substitutions", "deletions", "insertions")]
    return {
        row["utterance_id"]: ScoredRow(
            sum(row[kind] for kind in kinds), row[length], row.get("prompt_id") or row.get("speaker") or ""
        )
        for row in rows
        if row.get(metric) is not None and row[length]
    }


def aggregates_with_intervals(
    rows: list[ScoredRow], *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = SEED
) -> dict[str, Interval]:
    """Every aggregate of `AGGREGATES` as a fraction with its bootstrap interval.

    macro = mean of errors/N, clipped with each at most 1; micro = sum of errors / sum of N; median and p95
    interpolate linearly; the share is of rates strictly over 0.5. The same rows in any order give the same
    intervals.
    """
    if not rows:
        return dict.fromkeys(AGGREGATES, Interval(None, None, None))
    refuse_empty_references(rows)
    rows = sorted(rows, key=lambda row: (row.errors / row.units, row.voice, row.errors))
    names, voice_of = np.unique([row.voice for row in rows], return_inverse=True)
    errors = np.array([row.errors for row in rows], dtype=np.int64)
    units = np.array([row.units for row in rows], dtype=np.int64)
    rates, voices = errors / units, len(names)

    def drawn(times: Ints) -> Resample:
        return Resample(times, rates, errors, units, voice_of)

    whole = drawn(np.ones((1, voices), dtype=np.int64))
    estimates = {name: float(aggregate(whole)[0]) for name, aggregate in AGGREGATES.items()}
    if voices < 2:
        return {name: Interval(value, None, None) for name, value in estimates.items()}
    parts: dict[str, list[Floats]] = {name: [] for name in AGGREGATES}
    for times in draws(voices, len(rows), resamples, seed):
        some = drawn(times)
        for name, aggregate in AGGREGATES.items():
            parts[name].append(aggregate(some))
    return {name: Interval(estimates[name], *ends(np.concatenate(parts[name]), confidence)) for name in parts}


def mean_interval(
    values: Sequence[float],
    voices: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """The mean of one value per row, in the values' unit, with its bootstrap interval blocked by voice."""
    if len(values) == 0:
        return Interval(None, None, None)
    names, voice_of = np.unique(voices, return_inverse=True)
    mean = float(np.mean(values))
    if len(names) < 2:
        return Interval(mean, None, None)
    sums, rows = np.bincount(voice_of, values, len(names)), np.bincount(voice_of)
    means = [times @ sums / (times @ rows) for times in draws(len(names), len(names), resamples, seed)]
    return Interval(mean, *ends(np.concatenate(means), confidence))


def wilson(successes: float, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (1927). Half successes, for ties, are allowed.

    centre = (p + z^2/2n) / (1 + z^2/n); half = z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n).
    Raises ValueError for successes outside 0..trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return Interval(None, None, None)
    z, share = NormalDist().inv_cdf((1.0 + confidence) / 2.0), successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2.0 * trials)) / scale
    half = z * (share * (1.0 - share) / trials + z * z / (4.0 * trials * trials)) ** 0.5 / scale
    # at 0 and n the exact ends are 0 and 1; rounding must not put the estimate outside
    return Interval(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share))


def draws(voices: int, rows: int, resamples: int, seed: int) -> Iterator[Ints]:
    """How often each voice was drawn, in pieces [r, V]. The pieces' size does not change the draws."""
    random = np.random.default_rng(seed)
    size = max(1, _CELLS // max(voices, rows))
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        drawn = random.integers(voices, size=(count, voices))
        flat = drawn + voices * np.arange(count)[:, None]
        yield np.bincount(flat.ravel(), minlength=count * voices).reshape(count, voices)


def ends(values: Floats, confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled values."""
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def refuse_empty_references(rows: list[ScoredRow]) -> None:
    """Raises ValueError for a row with N = 0."""
    if any(row.units <= 0 for row in rows):
        raise ValueError("a row with an empty reference has no rate: leave it out and count it")
