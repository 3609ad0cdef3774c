"""Every cue's fit, for programs (JSON) and people (CSV)."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pipeline.dubbing.place import Placement
from pipeline.programme.subtitles import Cue
from pipeline.results import csv_cell

FAULTS = ("cut", "no_room", "missing")
_FITS = ("fits", "stretched", "runs_over", "cut", "no_room", "missing", "silent")


@dataclass(frozen=True, slots=True)
class CueReport:
    """Times and lengths in seconds. `fit`: that of fit.py, `missing` (no take), or `silent` (no words)."""

    cue: int  # its number in the subtitles
    fit: str
    start_s: float
    end_s: float
    speaker: str | None
    text: str
    slot_s: float = 0.0  # less than the cue's own time where it ends at the next one (see slots_of)
    spoken_s: float | None = None  # the take's speech at its own pace
    placed_start_s: float | None = None
    placed_end_s: float | None = None
    stretch: float | None = None  # how many times its own pace
    over_s: float | None = None  # into the gap behind the slot
    cut_s: float | None = None  # what was cut off
    take: str | None = None
    takes: int = 0  # asked for
    passed: bool | None = None  # its gates
    reasons: str | None = None  # why not, or why there is no take
    error_rate: float | None = None
    similarity: float | None = None
    clip: str | None = None


def reports_of(cues: Sequence[Cue], placements: Sequence[Placement], sample_rate: int) -> list[CueReport]:
    """One for each cue, in their order."""
    spoken = {each.line.cue.number: each for each in placements}
    return [_of(cue, spoken.get(cue.number), sample_rate) for cue in cues]


def counts_of(reports: Sequence[CueReport]) -> dict[str, int]:
    counts = Counter(report.fit for report in reports)
    return {name: counts[name] for name in _FITS}


def report_json(facts: Mapping[str, Any], reports: Sequence[CueReport]) -> bytes:
    whole = {**facts, "counts": counts_of(reports), "cues": [asdict(report) for report in reports]}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False).encode()


def report_csv(reports: Sequence[CueReport]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([each.name for each in fields(CueReport)])
    writer.writerows([csv_cell(value) for value in asdict(report).values()] for report in reports)
    return text.getvalue().encode()


def _of(cue: Cue, placement: Placement | None, rate: int) -> CueReport:
    silent = CueReport(cue.number, "silent", cue.start_s, cue.end_s, cue.speaker, cue.text)
    if placement is None:
        return silent
    slot = placement.slot
    missing = replace(
        silent,
        fit="missing",
        slot_s=slot.length / rate,
        takes=placement.takes,
        reasons=placement.fault,
    )
    if placement.chosen is None:
        return missing
    take, fit = placement.chosen
    if fit.kind == "no_room":  # nothing else is true of it
        return replace(missing, fit=fit.kind, spoken_s=round(take.duration_s, 6))
    return replace(
        missing,
        fit=fit.kind,
        spoken_s=round(take.duration_s, 6),
        placed_start_s=slot.start / rate,
        placed_end_s=(slot.start + fit.placed) / rate,
        stretch=round(fit.pace, 6),
        over_s=max(fit.placed - slot.length, 0) / rate,
        cut_s=fit.lost / rate,
        take=take.utterance_id,
        passed=take.passed,
        reasons="; ".join(take.reasons) or None,
        error_rate=take.error_rate,
        similarity=take.similarity,
        clip=placement.clip_key if fit.placed else None,
    )
