"""A row as the page's script reads it: light, all text, nulls left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.engine.dialogue import spoken_text
from pipeline.metrics.normalizers import unit_of
from pipeline.records import Row
from pipeline.report.alignment import align, normalizer_of
from pipeline.report.measured import measured
from pipeline.report.outcomes import outcome_of, reason_codes, takes_of
from pipeline.report.rows import rate_of, similarity_of
from pipeline.report.voices import voice_names, voices_of

Entry = dict[str, Any]
_SHORT = {"equal": "=", "substitute": "s", "delete": "d", "insert": "i"}
_DETAILS = ("seed", "finish_reason", "max_duration_s", "temperature", "top_p", "top_k", "scene")


def entry_of(row: Row) -> Entry:
    """Details are text: a seed has more digits than JavaScript's numbers."""
    rate = rate_of(row)
    pieces = []
    if rate and row["hypothesis"] is not None and row["target_text"]:
        normalizer = normalizer_of(row["normalizer"], row["language"])
        pieces = [
            [_SHORT[piece.kind], piece.asked, piece.heard]
            for piece in align(spoken_text(row["target_text"]), row["hypothesis"], normalizer)
        ]
    takes, voices = takes_of(row), voices_of(row)
    entry = {
        "row": row["row"],
        "id": row["utterance_id"],
        "status": row["status"],
        "gate": outcome_of(row),
        "reasons": row.get("gate_reasons") or None,
        "codes": reason_codes(row) or None,
        "takes": [_take(take, row) for take in takes] or None,
        "counts": _counts(row) if rate is not None else None,
        "unit": unit_of(row),
        "rate": rate,
        "sim": similarity_of(row),
        "simTruth": similarity_of(row, "similarity_ground_truth"),
        "s": row["duration_s"],
        "voice": voice_names(row),
        "voices": voices or None,
        "lang": row["language"],
        "category": row["category"],
        "text": row["target_text"],
        "heard": row["hypothesis"],
        "diff": pieces or None,
        "why": row["unscored_reason"],
        "stage": row["failed_stage"],
        "code": row["error_code"],
        "error": row["error_message"],
        "prompt": None if voices else row["prompt_text"] or row["prompt_text_heard"],
        "promptHeard": True if not voices and not row["prompt_text"] and row["prompt_text_heard"] else None,
        "measured": measured(row) or None,
        "more": [[name, str(row[name])] for name in _DETAILS if row[name] is not None] or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _take(take: Mapping[str, Any], row: Row) -> Entry:
    """One take: its scores, why it did not pass, and whether it is the one that counts."""
    rate_and_similarity = {name: take[name] for name in ("wer", "cer", "similarity")}
    scored = {"normalizer": row["normalizer"], "language": row["language"], **rate_and_similarity}
    failed = take["status"] == "failed"
    made = {
        "counts": True if take["take"] == row["take"] and not failed else None,
        "rate": rate_of(scored),
        "sim": similarity_of(scored),
        "s": take["duration_s"],
        "seed": None if take["seed"] is None else str(take["seed"]),
        "failed": (take["error_code"] or "unknown") if failed else None,
        "reasons": take["reasons"] or None,
    }
    return {key: value for key, value in made.items() if value is not None}


def _counts(row: Row) -> list[int | None]:
    """Substitutions, deletions, insertions and the length of the reference, in the row's unit."""
    name, unit = ("cer", "chars") if unit_of(row) == "char" else ("wer", "words")
    kinds = ("substitutions", "deletions", "insertions", f"reference_{unit}")
    return [row[f"{name}_{kind}"] for kind in kinds]
