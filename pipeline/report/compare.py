"""Two runs on the same ids: what changed, row by row and on the whole (metrics/paired.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.intervals import COSINE_DIFFERENCE, Interval, mean_interval, scored_rows, voice_block
from pipeline.metrics.normalizers import unit_of
from pipeline.metrics.paired import compare as compare_paired
from pipeline.records import Row
from pipeline.report.rows import is_ok, rate_of, similarity_of

_MADE_BY = {
    "rate": ("transcriber", "transcriber_dtype", "transcriber_decoding", "normalizer", "protocol"),
    "similarity": ("speaker_encoder",),
    "similarity_ground_truth": ("speaker_encoder",),
}
Pairs = list[tuple[Row, Row]]


@dataclass(frozen=True, slots=True)
class Difference:
    """This run less the other, over the rows that both have scored: points of a rate, or of the cosine.

    `low` and `high` are the ends of the 95 % interval of the mean, `voices` drawn whole; `resolvable` is the
    least difference that this set could show, `lower` the share of resamples where this run's mean is the
    lower one. All are None for fewer than two voices, where there is nothing to draw; `lower` is of rates.
    """

    rows: int
    voices: int
    mean: float
    low: float | None
    high: float | None
    resolvable: float | None
    lower: float | None
    fell: int
    rose: int
    values: list[float]


@dataclass(frozen=True, slots=True)
class Comparison:
    common: int
    only_here: int
    only_there: int
    other_text: int  # the same id with another text: not compared
    newly_lost: int  # ok there; failed or rejected here
    newly_ok: int
    words: Difference | None
    chars: Difference | None
    similarity: Difference | None
    similarity_ground_truth: Difference | None  # of the rows that have the same recording for it in both
    unlike: list[str]  # what the two runs' scores were not made by alike


def compare(rows: Sequence[Row], others: Sequence[Row]) -> Comparison:
    """Rates and similarities are compared where the row is ok in both runs."""
    there = {row["utterance_id"]: row for row in others}
    pairs = [(row, there[row["utterance_id"]]) for row in rows if row["utterance_id"] in there]
    same = [(row, other) for row, other in pairs if row["target_text"] == other["target_text"]]
    heard = [(row, other) for row, other in same if is_ok(row) and is_ok(other)]
    return Comparison(
        common=len(pairs),
        only_here=len(rows) - len(pairs),
        only_there=len(others) - len(pairs),
        other_text=len(pairs) - len(same),
        newly_lost=sum(is_ok(other) and not is_ok(row) for row, other in pairs),
        newly_ok=sum(is_ok(row) and not is_ok(other) for row, other in pairs),
        words=_rates(heard, "wer", "word"),
        chars=_rates(heard, "cer", "char"),
        similarity=_similarities(heard, "similarity"),
        similarity_ground_truth=_similarities(
            [pair for pair in heard if _same_ground_truth(*pair)], "similarity_ground_truth"
        ),
        unlike=_unlike(heard),
    )


def add_changes(entries: Sequence[dict[str, object]], rows: Sequence[Row], others: Sequence[Row]) -> None:
    """Puts what the other run had beside each row's own scores."""
    there = {row["utterance_id"]: row for row in others}
    for entry, row in zip(entries, rows, strict=True):
        other = there.get(row["utterance_id"])
        if other is None or other["target_text"] != row["target_text"]:
            continue
        before = {
            "status": other["status"],
            "rate": rate_of(other) if unit_of(row) == unit_of(other) else None,
            "sim": similarity_of(other),
            "simTruth": similarity_of(other, "similarity_ground_truth")
            if _same_ground_truth(row, other)
            else None,
            "heard": other["hypothesis"],
        }
        entry["before"] = {key: value for key, value in before.items() if value is not None}


def _rates(pairs: Pairs, metric: Literal["wer", "cer"], unit: str) -> Difference | None:
    of_unit = [pair for pair in pairs if unit_of(pair[0]) == unit_of(pair[1]) == unit]
    here, there = (scored_rows([pair[side] for pair in of_unit], metric) for side in (0, 1))
    found = compare_paired(there, here)
    values = [
        100.0 * (here[i].errors / here[i].units - there[i].errors / there[i].units)
        for i in sorted(here.keys() & there.keys())
    ]
    return _difference(values, found.difference_points, found.resolvable_points, found.share_b_lower)


def _same_ground_truth(row: Row, other: Row) -> bool:
    return bool(row["ground_truth_id"] == other["ground_truth_id"])


def _similarities(pairs: Pairs, column: str) -> Difference | None:
    both = [
        (here - there, voice_block(other))
        for row, other in pairs
        for here, there in [(similarity_of(row, column), similarity_of(other, column))]
        if here is not None and there is not None
    ]
    values, voices = [value for value, _ in both], [voice for _, voice in both]
    mean = mean_interval(values, voices, within=COSINE_DIFFERENCE)
    half = None if mean.low is None or mean.high is None else (mean.high - mean.low) / 2.0
    return _difference(values, mean, half, None)


def _difference(
    values: list[float], mean: Interval, resolvable: float | None, lower: float | None
) -> Difference | None:
    if mean.estimate is None:
        return None
    fell, rose = sum(value < 0 for value in values), sum(value > 0 for value in values)
    interval = (mean.voices or 0, mean.estimate, mean.low, mean.high)
    return Difference(len(values), *interval, resolvable, lower, fell, rose, values)


def _unlike(pairs: Pairs) -> list[str]:
    found: dict[str, None] = {}
    for row, other in pairs:
        for name in (column for metric, of in _MADE_BY.items() if _both(row, other, metric) for column in of):
            # null: of a version that did not say
            if row[name] != other[name] and None not in (row[name], other[name]):
                found[f"{name.replace('_', ' ')}: {row[name]} here, {other[name]} there"] = None
    return list(found)


def _both(row: Row, other: Row, metric: str) -> bool:
    """Whether both rows have that score."""
    scores = (rate_of(each) if metric == "rate" else similarity_of(each, metric) for each in (row, other))
    return all(score is not None for score in scores)
