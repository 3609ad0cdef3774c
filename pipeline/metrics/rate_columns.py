"""Error counts of millions of rows as columns, and what they say of a set: aggregates with intervals.

A row is 21 bytes. Whole voices are drawn, as everywhere (`intervals.py`); order statistics come from counts
of distinct rates instead of from rows, so that the cost follows the number of distinct (voice, rate) pairs.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.metrics.intervals import (
    COSINE,
    ERROR_RATE,
    RESAMPLES,
    SEED,
    SHARE,
    Floats,
    Ints,
    Range,
    draws,
    ends,
    widened,
)

JsonDict = dict[str, Any]
# what each can be
AGGREGATES: dict[str, Range] = {
    "macro": ERROR_RATE,
    "macro_clipped": SHARE,
    "micro": ERROR_RATE,
    "median": ERROR_RATE,
    "p95": ERROR_RATE,
    "share_over_50_percent": SHARE,
}
# the reference asks for 2,000; a set of more pairs than this leaves gets fewer than RESAMPLES
FEWEST_RESAMPLES = 2_000
_PAIRS_DRAWN = 500_000_000
# a cell of a matrix product costs this part of what a pair costs otherwise (measured), up to 32 MB of it
_CELLS_PER_PAIR = 300
_MATRIX_CELLS = 4_000_000
# with more distinct rates, the interval's ends of median and p95 are right to 0.1 % of the rank
_DISTINCT_RATES = 1_024
_ACCEPTED, _LOST, _UNSCORED = range(3)


@dataclass(frozen=True, slots=True)
class RateTable:
    """Rows as columns of equal length [n]; `rates` are fractions, `voices` and the like any numbers."""

    errors: Ints
    units: Ints
    rates: Floats
    voices: Ints
    languages: Ints
    categories: Ints

    def __len__(self) -> int:
        return len(self.rates)

    def where(self, kept: npt.NDArray[np.bool_]) -> RateTable:
        return RateTable(*(getattr(self, each.name)[kept] for each in fields(self)))


class RateColumns:
    """Rows as they come. `accepted` rows are the system's output, `lost` ones are counted beside; `unscored`
    rows are accepted ones that nobody has listened to."""

    def __init__(self) -> None:
        self._columns = [array("i") for _ in range(5)]
        self._kinds = array("b")

    def add(
        self, errors: int, units: int, voice: int, language: int = 0, category: int = 0, *, accepted: bool
    ) -> None:
        """A row of `errors` in `units` of the reference; nothing in nothing is a rate of 0."""
        self._add((errors, units, voice, language, category), _ACCEPTED if accepted else _LOST)

    def add_unscored(self, voice: int, language: int = 0, category: int = 0) -> None:
        self._add((0, 0, voice, language, category), _UNSCORED)

    def _add(self, values: tuple[int, ...], kind: int) -> None:
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self._kinds.append(kind)

    def accepted(self) -> RateTable:
        return self._table().where(self._of(_ACCEPTED))

    def unscored(self) -> RateTable:
        return self._table().where(self._of(_UNSCORED))

    def all(self) -> RateTable:
        """The accepted rows and the lost ones."""
        return self._table().where(~self._of(_UNSCORED))

    def _of(self, kind: int) -> npt.NDArray[np.bool_]:
        return np.equal(np.frombuffer(self._kinds, np.int8), kind)

    def _table(self) -> RateTable:
        errors, units, voices, languages, categories = (
            np.frombuffer(column, np.dtype(column.typecode)).astype(np.int64) for column in self._columns
        )
        return RateTable(errors, units, errors / np.maximum(units, 1), voices, languages, categories)


def describe(table: RateTable, *, resamples: int = RESAMPLES, seed: int = SEED) -> JsonDict:
    """The aggregates as fractions, and in `intervals` the ends [low, high] of each, blocked by `voices`.

    macro is the mean of the rates, clipped with each at most 1 (a loop of 400 % hides nothing there), micro
    all errors over all units; median and p95 interpolate linearly; the share is of rates strictly over 0.5.
    None where there is no row; no interval for fewer than two voices.
    """
    if not len(table):
        return dict.fromkeys(AGGREGATES) | {"voices": 0, "intervals": dict.fromkeys(AGGREGATES)}
    units = int(table.units.sum())
    found: JsonDict = {
        "macro": float(table.rates.mean()),
        "macro_clipped": float(np.minimum(table.rates, 1.0).mean()),
        "micro": float(table.errors.sum() / units) if units else None,
        "median": float(np.median(table.rates)),
        "p95": float(np.percentile(table.rates, 95)),
        "share_over_50_percent": float((table.rates > 0.5).mean()),
    }
    voices = len(np.unique(table.voices))
    drawn = _resampled(table, resamples, seed) if voices > 1 else {}
    intervals = {
        name: _ends(drawn.get(name), found[name], voices, within) for name, within in AGGREGATES.items()
    }
    return found | {"voices": voices, "intervals": intervals}


def mean_of(values: Floats, voices: Ints, *, resamples: int = RESAMPLES, seed: int = SEED) -> JsonDict:
    """{rows, voices, mean, interval} of one cosine per row, the interval blocked by voice."""
    names, voice_of = np.unique(voices, return_inverse=True)
    found: JsonDict = {"rows": len(values), "voices": len(names), "mean": None, "interval": None}
    if len(names):
        found["mean"] = float(values.mean())
    if len(names) > 1:
        sums = np.stack([np.bincount(voice_of, values), np.bincount(voice_of)], axis=1)
        weighed = np.concatenate(
            [
                times @ sums
                for times in draws(len(names), len(names), _affordable(len(names), resamples), seed)
            ]
        )
        found["interval"] = _ends(weighed[:, 0] / weighed[:, 1], found["mean"], len(names), COSINE)
    return found


def means_by(table: RateTable, key: Ints) -> dict[int, tuple[int, float, float | None]]:
    """(rows, macro, micro) of every group; `key` [n] names each row's group."""
    if not len(table):
        return {}
    names, group = np.unique(key, return_inverse=True)
    rows = np.bincount(group)
    rates, errors, units = (np.bincount(group, column) for column in (table.rates, table.errors, table.units))
    return {
        int(name): (
            int(rows[i]),
            float(rates[i] / rows[i]),
            float(errors[i] / units[i]) if units[i] else None,
        )
        for i, name in enumerate(names)
    }


def _resampled(table: RateTable, resamples: int, seed: int) -> dict[str, Floats]:
    """Every aggregate of every resample [R]."""
    names, voice_of = np.unique(table.voices, return_inverse=True)
    per_voice = np.stack(
        [
            np.bincount(voice_of, column)
            for column in (
                *(table.rates, np.ones(len(table)), table.errors, table.units),
                *(table.rates > 0.5, np.minimum(table.rates, 1.0)),
            )
        ],
        axis=1,
    ).astype(np.float64)
    values, value_of = _distinct(table.rates)
    pairs, seen = np.unique(voice_of * len(values) + value_of, return_counts=True)
    counts_of = _dense(pairs, seen, len(names), len(values)) or _sparse(pairs, seen, len(values))
    pieces: list[tuple[Floats, Floats, Floats]] = []
    for times in draws(len(names), max(len(names), len(pairs)), _affordable(len(pairs), resamples), seed):
        upto = np.cumsum(counts_of(times), axis=1)
        pieces.append((times @ per_voice, _quantile(values, upto, 0.5), _quantile(values, upto, 0.95)))
    sums, median, p95 = (np.concatenate(column) for column in zip(*pieces, strict=True))
    with np.errstate(invalid="ignore"):
        ratios = {
            "macro": sums[:, 0] / sums[:, 1],
            "macro_clipped": sums[:, 5] / sums[:, 1],
            "micro": sums[:, 2] / sums[:, 3],
            "share_over_50_percent": sums[:, 4] / sums[:, 1],
        }
    return ratios | {"median": median, "p95": p95}


def _dense(pairs: Ints, seen: Ints, voices: int, values: int) -> Callable[[Ints], Floats] | None:
    """Draws [R, V] to how often each rate was drawn [R, D], by one matrix; None where that is dearer."""
    if voices * values > min(_MATRIX_CELLS, _CELLS_PER_PAIR * len(pairs)):
        return None
    flat = np.zeros(voices * values)
    flat[pairs] = seen
    matrix: Floats = flat.reshape(voices, values)
    return lambda times: times.astype(np.float64) @ matrix


def _sparse(pairs: Ints, seen: Ints, values: int) -> Callable[[Ints], Floats]:
    voice, value = np.divmod(pairs, values)

    def counts(times: Ints) -> Floats:
        cells = (np.arange(len(times))[:, None] * values + value).ravel()
        weights = (times[:, voice] * seen).ravel()
        made = np.asarray(np.bincount(cells, weights, len(times) * values), dtype=np.float64)
        return made.reshape(len(times), values)

    return counts


def _affordable(pairs: int, resamples: int) -> int:
    return min(resamples, max(FEWEST_RESAMPLES, _PAIRS_DRAWN // pairs))


def _distinct(rates: Floats) -> tuple[Floats, Ints]:
    """The distinct rates, ascending, and the index of each row's; of very many a part, rounded up."""
    values = np.unique(rates)
    if len(values) > _DISTINCT_RATES:
        ranks = np.linspace(0.0, 1.0, _DISTINCT_RATES)
        values = np.unique(np.quantile(rates, ranks, method="inverted_cdf"))
    return values, np.searchsorted(values, rates, side="left")


def _quantile(values: Floats, upto: Floats, q: float) -> Floats:
    """numpy's linear percentile, row by row of cumulated counts [R, D] of ascending values [D]."""
    position = q * (upto[:, -1] - 1)
    below = np.floor(position)
    lower = values[np.argmax(upto > below[:, None], axis=1)]
    upper = values[np.argmax(upto > np.ceil(position)[:, None], axis=1)]
    made: Floats = lower + (position - below) * (upper - lower)
    return made


def _ends(drawn: Floats | None, estimate: float | None, voices: int, within: Range) -> list[float] | None:
    if drawn is None or estimate is None:
        return None
    # a resample of empty references alone has no micro average
    spread = widened(drawn[np.isfinite(drawn)], estimate, voices)
    return list(ends(spread, estimate, within=within)) if len(spread) else None
