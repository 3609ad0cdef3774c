"""Two runs on the same ids: which is better, and how little this set could tell.

Pairing on ids takes away what is hard for both (Bisani and Ney 2004); voices are drawn whole, as in
`intervals.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.metrics.figures import figure
from pipeline.metrics.intervals import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Floats,
    Interval,
    Ints,
    ScoredRow,
    draws,
    ends,
    refuse_empty_references,
    widened,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B against run A on the ids that both have scored; rates are fractions, differences B - A in points.

    `share_b_lower` is the share of resamples where B's rate is lower, ties as half, moved apart as the
    interval's ends are. `resolvable_points` is half the interval's width, never under what one error in one
    row makes; None for fewer than two voices.
    """

    aggregate: str
    rows: int
    only_in_a: int
    only_in_b: int
    a: float | None
    b: float | None
    difference_points: Interval
    share_b_lower: float | None
    resolvable_points: float | None

    def verdict(self) -> str:
        """One line for people."""
        if self.difference_points.estimate is None:
            return "the two runs have no scored id in common"
        if self.resolvable_points is None or self.difference_points.low is None:
            return "one voice only: no interval can be given"
        low, high = self.difference_points.low, self.difference_points.high
        least = figure(self.resolvable_points)
        limit = f"{self.difference_points.voices} voices cannot resolve less than {least} points"
        if high is not None and high < 0:
            return f"B is lower by {figure(-self.difference_points.estimate)} points; {limit}"
        if low > 0:
            return f"B is higher by {figure(self.difference_points.estimate)} points; {limit}"
        return f"no difference can be seen; {limit}"


def compare(
    a: Mapping[str, ScoredRow],
    b: Mapping[str, ScoredRow],
    *,
    aggregate: str = "macro",
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Comparison:
    """Two runs, each a mapping of utterance id to scored row, compared pair by pair; voices are A's.

    Both are resampled with the same draw, so that what is hard for both cancels. `aggregate` is macro or
    micro. Raises ValueError for another.
    """
    if aggregate not in ("macro", "micro"):
        raise ValueError(f"{aggregate}: compare macro or micro")
    ids = sorted(a.keys() & b.keys())
    only = (len(a) - len(ids), len(b) - len(ids))
    if not ids:
        nothing = Interval(None, None, None, 0)
        return Comparison(aggregate, 0, *only, None, None, nothing, None, None)
    refuse_empty_references([run[i] for run in (a, b) for i in ids])
    names, voice_of = np.unique([a[i].voice for i in ids], return_inverse=True)
    sides = [_sums(run, ids, voice_of, len(names), aggregate) for run in (a, b)]
    first, second = (float(upper.sum() / lower.sum()) for upper, lower in sides)
    difference = 100.0 * (second - first)
    if len(names) < 2:
        alone = Interval(difference, None, None, len(names))
        return Comparison(aggregate, len(ids), *only, first, second, alone, None, None)
    deltas = np.concatenate(
        [
            100.0
            * (times @ sides[1][0] / (times @ sides[1][1]) - times @ sides[0][0] / (times @ sides[0][1]))
            for times in draws(len(names), len(names), resamples, seed)
        ]
    )
    deltas = widened(deltas, difference, len(names), confidence)
    # equal rates summed in another order differ in the last place
    deltas[np.abs(deltas) < 1e-9] = 0.0
    low, high = ends(deltas, difference, confidence)
    lower_share = float((deltas < 0).mean() + 0.5 * (deltas == 0).mean())
    resolvable = max((high - low) / 2.0, _one_error([a[i] for i in ids], aggregate))
    interval = Interval(difference, low, high, len(names))
    return Comparison(aggregate, len(ids), *only, first, second, interval, lower_share, resolvable)


def _sums(
    run: Mapping[str, ScoredRow], ids: list[str], voice_of: Ints, voices: int, aggregate: str
) -> tuple[Floats, Floats]:
    """Numerator and denominator of the aggregate, per voice."""
    macro = aggregate == "macro"
    upper = [run[i].errors / run[i].units if macro else run[i].errors for i in ids]
    lower = [1 if macro else run[i].units for i in ids]
    numerator: Floats = np.bincount(voice_of, upper, voices).astype(np.float64)
    denominator: Floats = np.bincount(voice_of, lower, voices).astype(np.float64)
    return numerator, denominator


def _one_error(rows: list[ScoredRow], aggregate: str) -> float:
    """The least change of the aggregate that any change of transcripts can make, in points."""
    if aggregate == "micro":
        return 100.0 / sum(row.units for row in rows)
    return 100.0 / (len(rows) * max(row.units for row in rows))
