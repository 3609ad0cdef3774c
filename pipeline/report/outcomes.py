"""What the gates made of each row, and of the run: takes, reasons, what was repaired, warned, rejected."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.metrics.gates import reason_code
from pipeline.metrics.normalizers import unit_of
from pipeline.metrics.takes import passed_within
from pipeline.records import Row
from pipeline.report.rows import is_rejected
from pipeline.report.text import percent
from pipeline.views import many

Outcome = Literal["passed", "repaired", "warned", "rejected"]
OUTCOMES: dict[Outcome, str] = {
    "passed": "passed at once",
    "repaired": "repaired by another take",
    "warned": "delivered with a warning",
    "rejected": "rejected: never passed",
}
# by the codes of metrics/gates.py; a code that is not here is shown as it is
REASONS = {
    "wer": "word error rate",
    "cer": "character error rate",
    "similarity": "similarity to the reference",
    "length_ratio": "length, against the reference's pace",
    "leading_silence_s": "silence before the speech (s)",
    "trailing_silence_s": "silence after the speech (s)",
    "speech_ratio": "share of the clip that is speech",
    "finish_reason": "did not end by itself",
    "failed": "could not be made",
}


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """A reason for which any take of `rows` rows did not pass, and what became of these rows."""

    code: str
    words: str
    rows: int
    repaired: int
    warned: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates' work on the `judged` rows. `rows` counts their outcomes, those left out whose takes all
    failed; `gains` are lines for people."""

    judged: int
    takes: int
    rows: dict[Outcome, int]
    reasons: list[ReasonCount]
    within: list[tuple[int, float]]  # take number from 1, share of the rows that had passed by it
    gains: list[str]


def outcome_of(row: Row) -> Outcome | None:
    """None where no gate has judged the row, and where all its takes failed."""
    gate: Outcome | None = "rejected" if is_rejected(row) else row.get("gate")
    if gate != "passed":
        return gate
    takes = takes_of(row)
    return "repaired" if takes and not _passed(takes[0]) else "passed"


def takes_of(row: Row) -> list[dict[str, Any]]:
    """All takes of a row in the order in which they were made; none where the run kept no account."""
    return sorted(row.get("takes") or [], key=lambda take: take["take"])


def reason_codes(row: Row) -> list[str]:
    """The codes of every reason against any take, each once, those that still stand first."""
    standing = row.get("gate_reasons") or []
    reasons = [*standing, *(reason for take in takes_of(row) for reason in take["reasons"] or [])]
    return list(dict.fromkeys(map(reason_code, reasons)))


def gates_of(rows: Sequence[Row]) -> Gates | None:
    """None for a run that was not judged."""
    judged = [row for row in rows if outcome_of(row) is not None or takes_of(row)]
    if not judged:
        return None
    counts: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for row in judged:
        for code in reason_codes(row):
            counts[code][outcome_of(row)] += 1
    takes = [takes_of(row) for row in judged]
    firsts = [
        next((number for number, take in enumerate(each, start=1) if _passed(take)), None) for each in takes
    ]
    within = [(k, passed_within(firsts, k)) for k in range(1, max(map(len, takes)) + 1)]
    outcomes = Counter(map(outcome_of, judged))
    return Gates(
        judged=len(judged),
        takes=sum(map(len, takes)),
        rows={outcome: outcomes[outcome] for outcome in OUTCOMES},
        reasons=sorted(
            (
                ReasonCount(code, REASONS.get(code, code), by.total(),
                            by["repaired"], by["warned"], by["rejected"])
                for code, by in counts.items()
            ),
            key=lambda reason: (-reason.rows, reason.code),
        ),
        within=[(k, share) for k, share in within if share is not None],
        gains=_gains(judged),
    )  # fmt: skip


def _passed(take: Mapping[str, Any]) -> bool:
    return take["status"] != "failed" and not take["reasons"]


def _gains(rows: Sequence[Row]) -> list[str]:
    """First takes beside those that count, where there was more than one; rates by the language's unit."""
    found = []
    for name, column, unit, shown in (
        ("WER", "wer", "word", percent),
        ("CER", "cer", "char", percent),
        ("similarity", "similarity", None, "{:.3f}".format),
    ):
        pairs = []
        for row in rows:
            takes = takes_of(row)
            counted = next((take for take in takes if take["take"] == row["take"]), None)
            if len(takes) > 1 and counted is not None and unit in (None, unit_of(row)):
                pairs.append((takes[0][column], counted[column]))
        both = [pair for pair in pairs if None not in pair]
        if both:
            first, best = (shown(sum(side) / len(both)) for side in zip(*both, strict=True))
            found.append(
                f"mean {name} {first} of first takes, {best} of those that count ({many(len(both), 'row')})"
            )
    return found
