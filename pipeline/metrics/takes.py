"""Takes: which of a row's attempts is the best, whether another is due, and what N takes are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

from pipeline.metrics.gates import GateLimits, Row, gate, reason_code
from pipeline.metrics.normalizers import normalizer_for

JsonDict = dict[str, Any]
Order = tuple[bool, int, float, float, int]


@dataclass(frozen=True, slots=True)
class Decision:
    """`best` is the take that counts so far. `again`: it does not pass and takes are left. `rejected` and
    `ok` are final; `ok` with reasons is `ok` with a warning."""

    status: Literal["ok", "again", "rejected"]
    best: Row
    reasons: tuple[str, ...]


def take_order(row: Row, limits: GateLimits) -> Order:
    """What takes are sorted by, best first.

    Made before failed; fewer gate reasons; a lower error rate (CER where characters are the language's
    unit, else WER); a higher similarity; the earlier take. What was not measured comes last.
    """
    failed = row.get("failed_stage") is not None or row.get("status") == "failed"
    rate = row.get(_rate_column(row))
    return (
        failed,
        len(gate(row, limits.of(row["language"]))),
        _or_last(rate),
        _or_last(None if row.get("similarity") is None else -row["similarity"]),
        row.get("take") or 0,
    )


def best_take(takes: Sequence[Row], limits: GateLimits) -> Row:
    """The first by `take_order`, in whatever order they come. Raises ValueError for none."""
    return min(takes, key=lambda row: take_order(row, limits))


def decide(
    takes: Sequence[Row], limits: GateLimits, max_takes: int, otherwise: Literal["reject", "warn"] = "reject"
) -> Decision:
    """What becomes of a row after these takes; `otherwise` says what, when none of `max_takes` passes."""
    best = best_take(takes, limits)
    reasons = gate(best, limits.of(best["language"]))
    if not reasons:
        return Decision("ok", best, ())
    if len(takes) < max_takes:
        return Decision("again", best, reasons)
    # a warning is about sound that exists
    rejected = otherwise == "reject" or reason_code(reasons[0]) == "failed"
    return Decision("rejected" if rejected else "ok", best, reasons)


def pass_at_k(takes: int, passed: int, k: int) -> float:
    """The chance that one of k takes passes, from `passed` of `takes`: 1 - C(n-c, k) / C(n, k).

    Unbiased (Chen et al. 2021, arXiv 2107.03374) where the number of takes was settled beforehand. Rounds
    that end at the first pass are not that: use `passed_within`. Raises ValueError unless
    0 <= passed <= takes and 1 <= k <= takes.
    """
    if not (0 <= passed <= takes and 1 <= k <= takes):
        raise ValueError(f"pass@{k} of {passed} passed in {takes} takes is not defined")
    return 1.0 - comb(takes - passed, k) / comb(takes, k)


def best_of_k(values: Sequence[float], k: int, *, lowest: bool = True) -> float:
    """The expected best of k of these takes' values, drawn without replacement; worst-of-k is the other end.

    = sum over i of x_(i) C(n-i, k-1) / C(n, k), x sorted best first and i from 1. Raises ValueError unless
    1 <= k <= n.
    """
    if not 1 <= k <= len(values):
        raise ValueError(f"the best of {k} in {len(values)} takes is not defined")
    ordered = sorted(values, reverse=not lowest)
    total = sum(x * comb(len(values) - i, k - 1) for i, x in enumerate(ordered, start=1))
    return total / comb(len(values), k)


def passed_within(first_passes: Sequence[int | None], k: int) -> float | None:
    """The share of rows that had passed by take k. `first_passes`: each row's first take to pass, from 1.

    Right for rounds that end at the first pass, if each row that has not passed had k takes.
    """
    if not first_passes:
        return None
    return sum(first is not None and first <= k for first in first_passes) / len(first_passes)


def summarise_takes(rows: Mapping[str, Sequence[Row]], limits: GateLimits) -> JsonDict:
    """A JSON-able account of the gates: each utterance id with all its takes, in any order.

    `passed_within` counts rows by take number. `pass_at_k` and `wer_best_of_k` (the CER where characters are
    the unit) are means over the rows, null unless all have the same number of takes, as they have where takes
    do not end at the first pass, and every take has a rate. `*_first` and `*_best` are means over the rows
    where both the first and the best take have the value; `reasons` are of all takes that did not pass.
    """
    reasons: Counter[str] = Counter()
    first_passes: list[int | None] = []
    gains: dict[str, list[tuple[float, float]]] = {"wer": [], "cer": [], "similarity": []}
    warned_or_rejected: Counter[str] = Counter()
    for takes in rows.values():
        ordered = sorted(takes, key=lambda row: row.get("take") or 0)
        why = [gate(row, limits.of(row["language"])) for row in ordered]
        reasons.update(reason_code(reason) for each in why for reason in each)
        first_passes.append(next((number for number, each in enumerate(why, start=1) if not each), None))
        best = best_take(ordered, limits)
        if first_passes[-1] is None:
            final = gate(best, limits.of(best["language"]))
            warned_or_rejected.update({reason_code(reason) for reason in final})
        for name, pairs in gains.items():
            if ordered[0].get(name) is not None and best.get(name) is not None:
                pairs.append((ordered[0][name], best[name]))
    most = max((len(takes) for takes in rows.values()), default=0)
    fixed = most > 1 and all(len(takes) == most for takes in rows.values())
    return {
        "rows": len(rows),
        "takes": sum(len(takes) for takes in rows.values()),
        "passed_first": sum(first == 1 for first in first_passes),
        "repaired": sum(first is not None and first > 1 for first in first_passes),
        "never_passed": sum(first is None for first in first_passes),
        "passed_within": {str(k): passed_within(first_passes, k) for k in range(1, most + 1)},
        "pass_at_k": _pass_at(rows.values(), limits, most) if fixed else None,
        "wer_best_of_k": _best_of(rows.values(), most) if fixed else None,
        "reasons": dict(sorted(reasons.items())),
        "reasons_never_passed": dict(sorted(warned_or_rejected.items())),
        **{f"{name}_first": _mean([first for first, _ in pairs]) for name, pairs in gains.items()},
        **{f"{name}_best": _mean([best for _, best in pairs]) for name, pairs in gains.items()},
    }


def _pass_at(rows: Collection[Sequence[Row]], limits: GateLimits, most: int) -> dict[str, float | None]:
    passed = [sum(not gate(row, limits.of(row["language"])) for row in takes) for takes in rows]
    return {str(k): _mean([pass_at_k(most, count, k) for count in passed]) for k in range(1, most + 1)}


def _best_of(rows: Collection[Sequence[Row]], most: int) -> dict[str, float | None] | None:
    rates = [[row.get(_rate_column(row)) for row in takes] for takes in rows]
    heard = [[rate for rate in each if rate is not None] for each in rates]
    if any(len(each) < most for each in heard):
        return None
    return {str(k): _mean([best_of_k(each, k) for each in heard]) for k in range(1, most + 1)}


def _rate_column(row: Row) -> str:
    return "cer" if normalizer_for(row["language"]).unit == "char" else "wer"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _or_last(value: float | None) -> float:
    # NaN compares with nothing and would leave the order to chance
    return float("inf") if value is None or value != value else value
