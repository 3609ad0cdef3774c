"""A run's rows as the page takes them: which unit judges them, what they score, the worst first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.metrics.normalizers import unit_of
from pipeline.records import Row
from pipeline.results import LIGHT_COLUMNS, iter_results


def read_rows(uri: str) -> list[Row]:
    """Every committed row without its audio and codes, in the order of the manifest."""
    rows = [row for table in iter_results(uri, LIGHT_COLUMNS) for row in table.to_pylist()]
    return sorted(rows, key=lambda row: row["row"] or 0)


def rate_of(row: Row) -> float | None:
    """The row's WER, or its CER where characters are the unit, as a fraction."""
    rate: float | None = row["cer"] if unit_of(row) == "char" else row["wer"]
    return rate if rate is not None and math.isfinite(rate) else None


def similarity_of(row: Row, column: str = "similarity") -> float | None:
    similarity: float | None = row.get(column)
    return similarity if similarity is not None and math.isfinite(similarity) else None


def is_ok(row: Row) -> bool:
    return bool(row["status"] == "ok")


def is_rejected(row: Row) -> bool:
    """Spoken, but never as the gates want it: its best take is kept apart from the results."""
    return bool(row["status"] == "rejected")


def makes_sound(row: Row) -> bool:
    return is_ok(row) or is_rejected(row)


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """What the gates rejected, then what they warned of, then the rest; the failed, silent ones, last.

    Among each by error rate, then by similarity; rows without a rate after those with one.
    """

    def badness(row: Row) -> tuple[Any, ...]:
        rate, similarity = rate_of(row), similarity_of(row)
        return (
            not makes_sound(row),
            not is_rejected(row),
            row.get("gate") != "warned",
            rate is None,
            -(rate or 0.0),
            2.0 if similarity is None else similarity,
            row["row"] or 0,
        )

    return sorted(rows, key=badness)
