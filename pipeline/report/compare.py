"""Two runs on the same ids: what changed, row by row and on the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.records import Row
from pipeline.report.entries import Entry, is_ok, rate_of, similarity_of, unit_of
from pipeline.views import voice_name

_RESAMPLES = 2000
_SEED = 0
_MADE_BY = {
    "rate": ("transcriber", "normalizer", "protocol"),
    "similarity": ("speaker_encoder",),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """This run less the other, over the rows that both have scored.

    `low` and `high` are a 95 % bootstrap interval of the mean, whole voices drawn (rows of one voice are
    not independent); None with fewer than three voices, where there is nothing to draw.
    """

    rows: int
    mean: float
    low: float | None
    high: float | None
    fell: int
    rose: int
    values: list[float]


@dataclass(frozen=True, slots=True)
class Comparison:
    common: int
    only_here: int
    only_there: int
    other_text: int  # the same id with another text: not compared
    newly_failed: int
    newly_ok: int
    words: Difference | None
    chars: Difference | None
    similarity: Difference | None
    unlike: list[str]  # what the two runs' scores were not made by alike


def compare(rows: Sequence[Row], others: Sequence[Row]) -> Comparison:
    there = {row["utterance_id"]: row for row in others}
    pairs = [(row, there[row["utterance_id"]]) for row in rows if row["utterance_id"] in there]
    same = [(row, other) for row, other in pairs if row["target_text"] == other["target_text"]]
    return Comparison(
        common=len(pairs),
        only_here=len(rows) - len(pairs),
        only_there=len(others) - len(pairs),
        other_text=len(pairs) - len(same),
        newly_failed=sum(is_ok(other) and not is_ok(row) for row, other in pairs),
        newly_ok=sum(is_ok(row) and not is_ok(other) for row, other in pairs),
        words=_difference([_rates(pair) for pair in same if unit_of(pair[0]) == "word"]),
        chars=_difference([_rates(pair) for pair in same if unit_of(pair[0]) == "char"]),
        similarity=_difference(
            [(voice_name(row), similarity_of(row), similarity_of(other)) for row, other in same]
        ),
        unlike=_unlike(same),
    )


def add_changes(entries: Sequence[Entry], rows: Sequence[Row], others: Sequence[Row]) -> None:
    """Puts what the other run had beside each row's own scores."""
    there = {row["utterance_id"]: row for row in others}
    for entry, row in zip(entries, rows, strict=True):
        other = there.get(row["utterance_id"])
        if other is None or other["target_text"] != row["target_text"]:
            continue
        before = {
            "ok": is_ok(other),
            "rate": rate_of(other),
            "sim": similarity_of(other),
            "heard": other["hypothesis"],
        }
        entry["before"] = {key: value for key, value in before.items() if value is not None}


def _rates(pair: tuple[Row, Row]) -> tuple[str, float | None, float | None]:
    row, other = pair
    return voice_name(row), rate_of(row), rate_of(other) if unit_of(row) == unit_of(other) else None


def _difference(scores: Sequence[tuple[str, float | None, float | None]]) -> Difference | None:
    by_voice: defaultdict[str, list[float]] = defaultdict(list)
    for voice, here, there in scores:
        if here is not None and there is not None:
            by_voice[voice].append(here - there)
    values = [value for group in by_voice.values() for value in group]
    if not values:
        return None
    low, high = _interval(list(by_voice.values())) if len(by_voice) > 2 else (None, None)
    return Difference(
        rows=len(values),
        mean=float(np.mean(values)),
        low=low,
        high=high,
        fell=sum(value < 0 for value in values),
        rose=sum(value > 0 for value in values),
        values=values,
    )


def _interval(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    sums = np.array([sum(group) for group in groups])
    sizes = np.array([len(group) for group in groups])
    shares = np.full(len(groups), 1 / len(groups))
    drawn = np.random.default_rng(_SEED).multinomial(len(groups), shares, size=_RESAMPLES)
    low, high = np.percentile((drawn @ sums) / (drawn @ sizes), [2.5, 97.5])
    return float(low), float(high)


def _unlike(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    found: dict[str, None] = {}
    for row, other in pairs:
        scored = [name for name, score in (("rate", rate_of), ("similarity", similarity_of))
                  if score(row) is not None and score(other) is not None]  # fmt: skip
        for name in (column for metric in scored for column in _MADE_BY[metric]):
            if row[name] != other[name]:
                found[f"{name.replace('_', ' ')}: {row[name]} here, {other[name]} there"] = None
    return list(found)
