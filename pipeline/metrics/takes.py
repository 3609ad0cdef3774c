"""Takes: which of a row's attempts is the best, whether another is due, and what N takes are worth."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

from pipeline.config import GatesConfig
from pipeline.metrics.gates import Row, gate, limits_of, reason_code
from pipeline.metrics.normalizers import RATE_OF, unit_of
from pipeline.records import is_failed

JsonDict = dict[str, Any]
Order = tuple[bool, int, float, float, int]
Outcome = Literal["passed", "again", "warned", "rejected", "failed"]

# what was made of a row before it was spoken stays as it is, whatever the seed
_SEED_MATTERS = frozenset(
    {
        "generate_codes",
        "decode_codes",
        "transcribe",
        "embed_speaker",
        "rate_quality",
        "measure_audio",
        "score_utterance",
    }
)
_WHATEVER_THE_SEED = frozenset({"prompt_too_long"})


@dataclass(frozen=True, slots=True)
class Decision:
    """`best` is the take that counts so far, `reasons` why it does not pass. All outcomes but `again` are
    final; `warned` is a result all the same, and `failed` has nothing to hear."""

    outcome: Outcome
    best: Row
    reasons: tuple[str, ...]


def take_seed(seed: int, take: int) -> int:
    """The seed of a row's take: its own for the first, 63 bits of sha256 over both for any other."""
    if take == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}:take {take}".encode()).digest()[:8]) >> 1


def take_order(row: Row, gates: GatesConfig) -> Order:
    """What takes are sorted by, best first.

    Made before failed; fewer gate reasons; a lower error rate (CER where characters are the language's
    unit, else WER); a higher similarity; the earlier take. What was not measured comes last.
    """
    return (
        is_failed(row),
        len(gate(row, limits_of(gates, row["language"]))),
        _or_last(row.get(RATE_OF[unit_of(row)])),
        _or_last(None if row.get("similarity") is None else -row["similarity"]),
        row.get("take") or 0,
    )


def best_take(takes: Sequence[Row], gates: GatesConfig) -> Row:
    """The first by `take_order`, in whatever order they come. Raises ValueError for none."""
    return min(takes, key=lambda row: take_order(row, gates))


def decide(takes: Sequence[Row], gates: GatesConfig) -> Decision:
    """What becomes of a row after these takes. One that no seed can repair gets no other."""
    best = best_take(takes, gates)
    reasons = gate(best, limits_of(gates, best["language"]))
    if (reasons or gates.all_takes) and len(takes) < gates.max_takes and all(map(was_spoken, takes)):
        return Decision("again", best, reasons)
    if is_failed(best):
        return Decision("failed", best, reasons)
    if not reasons:
        return Decision("passed", best, ())
    return Decision("rejected" if gates.otherwise == "reject" else "warned", best, reasons)


def was_spoken(row: Row) -> bool:
    """Whether a seed had a part in what became of the row: false for what failed beforehand."""
    return not is_failed(row) or (
        row["failed_stage"] in _SEED_MATTERS and row["error_code"] not in _WHATEVER_THE_SEED
    )


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


class TakesAccount:
    """A JSON-able account of the gates, from result rows with `takes`, `take` and `language`; None for none.

    `passed_within` counts rows by take number. `pass_at_k`, and `wer_best_of_k` and `cer_best_of_k` by the
    unit of the language, are means over the rows; null unless `all_takes` (of the gates) and all rows have
    the same number of takes, and every take a rate. `*_first` and `*_best` are means over the rows where both
    the first take and the one that counts have the value, of WER and CER over those that are judged by it;
    `reasons` are of all takes that did not pass. Rows of one take are counted, not held; of another some 100
    bytes are.
    """

    def __init__(self, *, all_takes: bool) -> None:
        self._all_takes = all_takes
        self._reasons: Counter[str] = Counter()
        self._never: Counter[str] = Counter()
        self._gates: Counter[str] = Counter()
        self._first_passes: Counter[int | None] = Counter()
        self._passed: Counter[tuple[int, int]] = Counter()  # by how many takes a row has, and how many pass
        self._rates: dict[str, list[list[float | None]]] = {name: [] for name in RATE_OF.values()}
        self._gains = {name: [0, 0.0, 0.0] for name in (*self._rates, "similarity")}  # rows, and sums

    def add(self, row: Row) -> None:
        if not (takes := row["takes"]):
            return
        self._gates[row["gate"] or "failed"] += 1
        self._reasons.update(reason_code(reason) for take in takes for reason in take["reasons"])
        first = next((i for i, take in enumerate(takes, start=1) if not take["reasons"]), None)
        self._first_passes[first] += 1
        self._passed[len(takes), sum(not take["reasons"] for take in takes)] += 1
        rate = RATE_OF[unit_of(row)]
        if self._all_takes and len(takes) > 1:
            self._rates[rate].append([take[rate] for take in takes])
        best = next(take for take in takes if take["take"] == row["take"])
        if first is None:
            self._never.update({reason_code(reason) for reason in best["reasons"]})
        for name in (rate, "similarity"):
            sums = self._gains[name]
            if takes[0][name] is not None and best[name] is not None:
                sums[0] += 1
                sums[1] += takes[0][name]
                sums[2] += best[name]

    def summary(self) -> JsonDict | None:
        if not self._passed:
            return None
        most = max(count for count, _ in self._passed)
        fixed = self._all_takes and most > 1 and all(count == most for count, _ in self._passed)
        first_passes = list(self._first_passes.elements())
        passed = [passed for _, passed in self._passed.elements()]
        return {
            "rows": self._passed.total(),
            "takes": sum(count * rows for (count, _), rows in self._passed.items()),
            "passed_first": self._first_passes[1],
            "repaired": sum(first is not None and first > 1 for first in first_passes),
            "never_passed": self._first_passes[None],
            "warned": self._gates["warned"],
            "rejected": self._gates["rejected"],
            "passed_within": {str(k): passed_within(first_passes, k) for k in range(1, most + 1)},
            "pass_at_k": _pass_at(passed, most) if fixed else None,
            **{
                f"{name}_best_of_k": _best_of(rates, most) if fixed and rates else None
                for name, rates in self._rates.items()
            },
            "reasons": dict(sorted(self._reasons.items())),
            "reasons_never_passed": dict(sorted(self._never.items())),
            **{f"{name}_first": first / n if n else None for name, (n, first, _) in self._gains.items()},
            **{f"{name}_best": best / n if n else None for name, (n, _, best) in self._gains.items()},
        }


def _pass_at(passed: Sequence[int], most: int) -> dict[str, float | None]:
    return {str(k): _mean([pass_at_k(most, count, k) for count in passed]) for k in range(1, most + 1)}


def _best_of(rates: Sequence[Sequence[float | None]], most: int) -> dict[str, float | None] | None:
    heard = [[rate for rate in each if rate is not None] for each in rates]
    if any(len(each) < most for each in heard):
        return None
    return {str(k): _mean([best_of_k(each, k) for each in heard]) for k in range(1, most + 1)}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _or_last(value: float | None) -> float:
    # NaN compares with nothing and would leave the order to chance
    return float("inf") if value is None or value != value else value
