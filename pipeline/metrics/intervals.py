"""Intervals: what a set of this size can and cannot say.

Rows of one voice fail together, so the bootstrap draws whole voices (blocked; Liu and Peng 2019,
arXiv 1912.09508) and takes percentiles, moved apart as few voices ask for (`student.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.metrics.student import widening

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
Range = tuple[float, float]
ANY: Range = (-np.inf, np.inf)
SHARE: Range = (0.0, 1.0)
ERROR_RATE: Range = (0.0, np.inf)  # a loop passes 100 %
COSINE: Range = (-1.0, 1.0)
COSINE_DIFFERENCE: Range = (-2.0, 2.0)
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

    `low` and `high` are None for fewer than two `voices` too: one block has no spread to measure. `voices` is
    None where none were drawn (Wilson's).
    """

    estimate: float | None
    low: float | None
    high: float | None
    voices: int | None = None


def scored_rows(
    rows: Iterable[Mapping[str, Any]], metric: Literal["wer", "cer"] = "wer"
) -> dict[str, ScoredRow]:
    """The scored among result rows (`RESULT_ROW`) by utterance id.

    A row without a score, or whose reference is empty, is not among them: count it beside.
    """
    length = {"wer": "wer_reference_words", "cer": "cer_reference_chars"}[metric]
    kinds = [f"{metric}_{kind}" for kind in ("substitutions", "deletions", "insertions")]
    return {
        row["utterance_id"]: ScoredRow(sum(row[kind] for kind in kinds), row[length], voice_block(row))
        for row in rows
        if row.get(metric) is not None and row[length]
    }


def voice_block(row: Mapping[str, Any]) -> str:
    """The voice of a result row: its reference recording, else its speaker; "" where it has neither.

    Not the prompt's id: that is another for every language and transcript of one recording, and a row that
    was bad in the manifest has none.
    """
    return row.get("prompt_audio") or row.get("speaker") or ""


def mean_interval(
    values: Sequence[float],
    voices: Sequence[str],
    *,
    within: Range = ANY,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """The mean of one value per row, in the values' unit, with its bootstrap interval blocked by voice."""
    if len(values) == 0:
        return Interval(None, None, None, 0)
    names, voice_of = np.unique(voices, return_inverse=True)
    mean = float(np.mean(values))
    if len(names) < 2:
        return Interval(mean, None, None, len(names))
    sums, rows = np.bincount(voice_of, values, len(names)), np.bincount(voice_of)
    means = [times @ sums / (times @ rows) for times in draws(len(names), len(names), resamples, seed)]
    spread = widened(np.concatenate(means), mean, len(names), confidence)
    return Interval(mean, *ends(spread, mean, confidence, within), len(names))


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


def widened(drawn: Floats, estimate: float, voices: int, confidence: float = CONFIDENCE) -> Floats:
    """Resampled values, moved away from the estimate as so few voices ask for."""
    return estimate + widening(voices, confidence) * (drawn - estimate)


def ends(
    spread: Floats, estimate: float, confidence: float = CONFIDENCE, within: Range = ANY
) -> tuple[float, float]:
    """The percentile interval of `widened` values, inside what the quantity can be; it holds the estimate."""
    tail = 50.0 * (1.0 - confidence)
    low, high = np.clip(np.percentile(spread, [tail, 100.0 - tail]), *within)
    return min(float(low), estimate), max(float(high), estimate)


def refuse_empty_references(rows: list[ScoredRow]) -> None:
    """Raises ValueError for a row with N = 0."""
    if any(row.units <= 0 for row in rows):
        raise ValueError("a row with an empty reference has no rate: leave it out and count it")
