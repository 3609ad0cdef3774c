"""Takes of a row -> the row as it counts, with what the gates say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import GatesConfig
from pipeline.metrics.gates import gate, limits_of
from pipeline.metrics.takes import decide, was_spoken
from pipeline.records import TAKE_FIELDS, Row, is_failed

# what a rejected row leaves to the run's log of rejected takes
_SOUND = ("audio", "codes", "codes_shape", "codes_dtype")


def judge_takes(takes: Sequence[Row], gates: GatesConfig) -> Row:
    """The best of a row's takes (packed results), with the outcome and the account of all of them.

    `gate` is `again` where another take is due. A row that failed before it was spoken has no takes.
    """
    decision = decide(takes, gates)
    outcome, best = decision.outcome, dict(decision.best)
    if not was_spoken(best):
        return best | {"gate": None, "gate_reasons": None, "takes": None}
    return best | {
        "status": "rejected" if outcome == "rejected" else best["status"],
        "gate": None if outcome == "failed" else outcome,
        "gate_reasons": list(decision.reasons),
        "takes": [_account(row, gates) for row in sorted(takes, key=lambda row: row["take"] or 0)],
    }


def without_sound(row: Row) -> Row:
    """A rejected row as it stands among the results: nobody takes its sound for a result by mistake."""
    return row | dict.fromkeys(_SOUND)


def _account(row: Row, gates: GatesConfig) -> Row:
    said = {name: row.get(name) for name in TAKE_FIELDS}
    status = "failed" if is_failed(row) else "ok"
    return said | {
        "take": row["take"] or 0,
        "status": status,
        "reasons": list(gate(row, limits_of(gates, row["language"]))),
    }
