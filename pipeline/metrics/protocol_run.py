"""A run's rows under a named protocol: its number, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.engine.dialogue import spoken_text
from pipeline.errors import ConfigError
from pipeline.languages import primary_subtag
from pipeline.metrics.intervals import (
    COSINE_DIFFERENCE,
    RESAMPLES,
    Interval,
    ScoredRow,
    mean_interval,
    voice_block,
)
from pipeline.metrics.protocols import Protocol, score_under
from pipeline.metrics.published import HeardBy, departures
from pipeline.metrics.rate_columns import RateColumns, describe, mean_of

JsonDict = dict[str, Any]
Row = Mapping[str, Any]
COLUMNS = (
    *("utterance_id", "status", "language", "target_text", "hypothesis", "similarity"),
    *("unscored_reason", "error_code", "prompt_audio", "speaker"),
)


def missing_reason(row: Row) -> str | None:
    """Why there is no transcript of an accepted output; None where there is one."""
    if row["status"] == "rejected":
        return "rejected by its gates"
    if row["status"] != "ok":
        return f"failed: {row['error_code'] or 'unknown'}"
    if row["hypothesis"] is None:
        return f"no transcript: {row['unscored_reason'] or 'unknown'}"
    return None


def score_rows(rows: Iterable[Row], protocol: Protocol) -> dict[str, ScoredRow]:
    """Every row by utterance id, a missing one as all deletions. Left out: an empty reference."""
    found = {}
    for row in rows:
        missing = missing_reason(row) is not None
        heard = "" if missing else row["hypothesis"]
        counts = score_under(spoken_text(row["target_text"] or ""), heard, protocol).counts
        errors = counts.substitutions + counts.deletions + counts.insertions
        if counts.reference_length:
            found[row["utterance_id"]] = ScoredRow(errors, counts.reference_length, voice_block(row))
    return found


def evaluate(
    rows: Sequence[Row], protocol: Protocol, heard_by: HeardBy, *, resamples: int = RESAMPLES
) -> JsonDict:
    """A JSON-able account of result rows (with `COLUMNS`) under a protocol; rates and cosines are fractions.

    `wer` has the protocol's aggregate with its 95 % interval, voices drawn whole: `value` counts a missing
    row (failed, rejected, no transcript) as WER 1, `value_skipping` leaves it out as Seed-TTS Eval does, and
    `similarity` likewise with 0; `rows` and `voices` of each are what it is of. `empty_references` are not in
    `wer`. Raises ConfigError for a row of another
    language.
    """
    refuse_other_languages(rows, protocol)
    scored = score_rows(rows, protocol)
    voices = {name: i for i, name in enumerate(sorted({row.voice for row in scored.values()}))}
    columns = RateColumns()
    reasons: Counter[str] = Counter()
    for row in rows:
        if (reason := missing_reason(row)) is not None:
            reasons[reason] += 1
        if row["utterance_id"] in scored:
            one = scored[row["utterance_id"]]
            columns.add(one.errors, one.units, voices[one.voice], accepted=reason is None)
    every, kept = (
        describe(columns.all(), resamples=resamples),
        describe(columns.accepted(), resamples=resamples),
    )
    name = protocol.aggregate
    return {
        "protocol": protocol.name,
        "normalizer": protocol.normalizer.id,
        "unit": protocol.unit,
        "aggregate": name,
        "rows": len(rows),
        "voices": len({voice_block(row) for row in rows}),
        "missing": reasons.total(),
        "missing_reasons": dict(sorted(reasons.items())),
        "empty_references": len(rows) - len(scored),
        "wer": {
            "value": every[name],
            "interval": every["intervals"][name],
            "rows": len(columns.all()),
            "voices": every["voices"],
            "value_skipping": kept[name],
            "interval_skipping": kept["intervals"][name],
            "rows_skipping": len(columns.accepted()),
            "voices_skipping": kept["voices"],
            "share_over_50_percent": every["share_over_50_percent"],
        },
        "similarity": _similarity(rows, heard_by, resamples),
        "transcriber": heard_by.transcriber,
        "speaker_encoder": heard_by.speaker_encoder,
        "departures": departures(protocol, heard_by),
        "note": protocol.note,
    }


def compare_similarity(a: Sequence[Row], b: Sequence[Row], *, resamples: int = RESAMPLES) -> Interval:
    """The mean of B's cosine less A's over the ids of both, a missing one as 0; voices are A's."""
    there = {row["utterance_id"]: _accepted_similarity(row) or 0.0 for row in b}
    pairs = [
        (there[row["utterance_id"]] - (_accepted_similarity(row) or 0.0), voice_block(row))
        for row in a
        if row["utterance_id"] in there
    ]
    gains, voices = [gain for gain, _ in pairs], [voice for _, voice in pairs]
    return mean_interval(gains, voices, within=COSINE_DIFFERENCE, resamples=resamples)


def _accepted_similarity(row: Row) -> float | None:
    return row["similarity"] if row["status"] == "ok" else None


def refuse_other_languages(rows: Iterable[Row], protocol: Protocol) -> None:
    """Raises ConfigError for the first row that the protocol is not for."""
    for row in rows:
        if not of_language(row, protocol):
            raise ConfigError(
                f"row {row['utterance_id']!r} is in {row['language']}, {protocol.name} is for "
                f"{protocol.language}: name the protocol of that language, or the rows' own"
            )


def of_language(row: Row, protocol: Protocol) -> bool:
    return primary_subtag(row["language"] or "") == protocol.language


def _similarity(rows: Sequence[Row], heard_by: HeardBy, resamples: int) -> JsonDict | None:
    """None where no speaker encoder was asked."""
    if heard_by.speaker_encoder == "none":
        return None
    accepted = [_accepted_similarity(row) for row in rows]
    values = np.array([value or 0.0 for value in accepted])
    has_one = np.array([value is not None for value in accepted], dtype=bool)
    voices = np.unique([voice_block(row) for row in rows], return_inverse=True)[1]
    every = mean_of(values, voices, resamples=resamples)
    kept = mean_of(values[has_one], voices[has_one], resamples=resamples)
    return {
        "value": every["mean"],
        "interval": every["interval"],
        "rows": every["rows"],
        "voices": every["voices"],
        "value_skipping": kept["mean"],
        "interval_skipping": kept["interval"],
        "rows_skipping": kept["rows"],
        "voices_skipping": kept["voices"],
        "missing": every["rows"] - kept["rows"],
    }
