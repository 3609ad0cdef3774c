"""A run's rows as the page shows them: light, the worst first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.metrics.aggregate import JsonDict, summarise
from pipeline.records import Row
from pipeline.report.alignment import align, normalizer_of
from pipeline.results import LIGHT_COLUMNS, iter_results
from pipeline.views import voice_name

Entry = dict[str, Any]
_SHORT = {"equal": "=", "substitute": "s", "delete": "d", "insert": "i"}
_DETAILS = ("seed", "take", "finish_reason", "max_duration_s", "temperature", "top_p", "top_k", "scene")


def read_rows(uri: str) -> list[Row]:
    """Every committed row without its audio and codes, in the order of the manifest."""
    rows = [row for table in iter_results(uri, LIGHT_COLUMNS) for row in table.to_pylist()]
    return sorted(rows, key=lambda row: row["row"] or 0)


def unit_of(row: Row) -> str:
    """`word` or `char`: which error rate is the one to judge this row's language by."""
    return normalizer_of(row["normalizer"], row["language"]).unit


def rate_of(row: Row) -> float | None:
    """The row's WER, or its CER where characters are the unit, as a fraction."""
    rate: float | None = row["cer"] if unit_of(row) == "char" else row["wer"]
    return rate if rate is not None and math.isfinite(rate) else None


def similarity_of(row: Row) -> float | None:
    similarity: float | None = row["similarity"]
    return similarity if similarity is not None and math.isfinite(similarity) else None


def is_ok(row: Row) -> bool:
    return bool(row["status"] == "ok")


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """By error rate, then by similarity; rows without a rate next, then the failed, which make no sound."""

    def badness(row: Row) -> tuple[Any, ...]:
        rate, similarity = rate_of(row), similarity_of(row)
        return (
            not is_ok(row),
            rate is None,
            -(rate or 0.0),
            2.0 if similarity is None else similarity,
            row["row"] or 0,
        )

    return sorted(rows, key=badness)


def summaries(rows: Sequence[Row]) -> tuple[JsonDict, JsonDict, JsonDict]:
    """Of all rows, of those that are judged by words, and of those that are judged by characters."""
    words = [row for row in rows if is_ok(row) and unit_of(row) == "word"]
    chars = [row for row in rows if is_ok(row) and unit_of(row) == "char"]
    return summarise(rows), summarise(words), summarise(chars)


def entry_of(row: Row) -> Entry:
    """What the page's script reads of a row; nulls are left out.

    Details are text: a seed has more digits than JavaScript's numbers.
    """
    rate = rate_of(row)
    pieces = []
    if rate and row["hypothesis"] is not None and row["target_text"]:
        normalizer = normalizer_of(row["normalizer"], row["language"])
        pieces = [
            [_SHORT[piece.kind], piece.asked, piece.heard]
            for piece in align(row["target_text"], row["hypothesis"], normalizer)
        ]
    entry = {
        "row": row["row"],
        "id": row["utterance_id"],
        "ok": is_ok(row),
        "unit": unit_of(row),
        "rate": rate,
        "counts": _counts(row) if rate is not None else None,
        "sim": similarity_of(row),
        "s": row["duration_s"],
        "voice": voice_name(row),
        "lang": row["language"],
        "text": row["target_text"],
        "heard": row["hypothesis"],
        "diff": pieces or None,
        "why": row["unscored_reason"],
        "stage": row["failed_stage"],
        "code": row["error_code"],
        "error": row["error_message"],
        "prompt": row["prompt_text"] or row["prompt_text_heard"],
        "promptHeard": True if not row["prompt_text"] and row["prompt_text_heard"] else None,
        "more": [[name, str(row[name])] for name in _DETAILS if row[name] is not None] or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _counts(row: Row) -> list[int | None]:
    """Substitutions, deletions, insertions and the length of the reference, in the row's unit."""
    name, unit = ("cer", "chars") if unit_of(row) == "char" else ("wer", "words")
    kinds = ("substitutions", "deletions", "insertions", f"reference_{unit}")
    return [row[f"{name}_{kind}"] for kind in kinds]
