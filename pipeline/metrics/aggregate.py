"""A run in numbers: one pass over its result rows, the failed and rejected ones included.

Word error rates are of the languages that are judged by words, character error rates of those where a
character is the unit (zh, ja, ko, th and others): the two are never averaged with each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.metrics.breakdown import SIMILARITIES, Breakdown, Row, State, is_compared
from pipeline.metrics.intervals import RESAMPLES
from pipeline.metrics.normalizers import RATE_OF, unit_of

JsonDict = dict[str, Any]
_EVALUATOR_OF = {"wer": "transcriber", "cer": "transcriber"} | dict.fromkeys(SIMILARITIES, "speaker_encoder")
_SEEN = ("transcriber", "speaker_encoder", "normalizer", "protocol")


def summarise(rows: Iterable[Row], *, resamples: int = RESAMPLES) -> JsonDict:
    """A JSON-able summary of rows with the fields of `RESULT_ROW` (audio and codes are not read).

    Every row is `ok`, `rejected` (no take passed its gates) or `failed`, every `ok` row `scored` (it has a
    WER or a CER) or `unscored`; `unscored_reasons` counts, metric by metric, why `ok` rows lack it. `wer` is
    of rows judged by words, `cer` of rows judged by characters, `cer_of_word_rows` what its name says. Rates
    and similarities are fractions over the `ok` rows that have one, None where no row has, with 95 %
    intervals by a bootstrap of whole voices. `with_failures` counts a failed row as all deletions (rate 1,
    similarity 0), a rejected one by its best take, as failed if that has no score. `similarity_ground_truth`
    is of the rows that name a ground truth. `by_language`, `by_category` and `worst_voices` are empty where
    there is only one; where `ok` rows are there and nobody has heard any, their rates are None.
    `audio_seconds` is of the `ok` rows. The order of the rows changes nothing (of categories, which are
    OTHERS).

    Memory: about 60 bytes a row, as much again at the end, and a few hundred for each distinct voice.
    """
    status: Counter[str] = Counter()
    failures: defaultdict[str, Counter[str]] = defaultdict(Counter)
    scored = 0
    unscored: dict[str, Counter[str]] = {metric: Counter() for metric in _EVALUATOR_OF}
    finish_reasons: Counter[str] = Counter()
    seen: dict[str, Counter[str]] = {name: Counter() for name in _SEEN}
    breakdown = Breakdown()
    audio_seconds = 0.0
    for row in rows:
        unit = unit_of(row)
        state: State = row["status"] if row["status"] in ("ok", "rejected") else "failed"
        status[state] += 1
        breakdown.add(row, unit, state)
        if state == "failed":
            failures[row["failed_stage"] or "unknown"][row["error_code"] or "unknown"] += 1
        if state != "ok":
            continue
        audio_seconds += row["duration_s"] or 0.0
        if row["finish_reason"] is not None:
            finish_reasons[row["finish_reason"]] += 1
        for name, values in seen.items():
            if row[name] is not None:
                values[row[name]] += 1
        scored += row["wer"] is not None or row["cer"] is not None
        for metric in (RATE_OF[unit], *(name for name in SIMILARITIES if is_compared(row, name))):
            if row[metric] is None:
                unscored[metric][_why_unscored(row, metric)] += 1
    return {
        "rows": status.total(),
        **{state: status[state] for state in ("ok", "rejected", "failed")},
        "failures": {stage: _sorted(codes) for stage, codes in sorted(failures.items())},
        "scored": scored,
        "unscored": status["ok"] - scored,
        "unscored_reasons": {metric: _sorted(reasons) for metric, reasons in unscored.items()},
        **breakdown.summary(resamples),
        "audio_seconds": audio_seconds,
        "finish_reasons": _sorted(finish_reasons),
        **{f"{name}s": _sorted(values) for name, values in seen.items()},
    }


def _why_unscored(row: Mapping[str, Any], metric: str) -> str:
    if row[_EVALUATOR_OF[metric]] == "none":
        return f"evaluation.{_EVALUATOR_OF[metric]} is none"
    rest, _, truth = f"; {row['unscored_reason'] or ''}".partition("; ground truth: ")
    hearing, _, comparing = rest.partition("; similarity: ")
    if metric in SIMILARITIES:
        return (comparing if metric == "similarity" else truth) or "unknown"
    if row["hypothesis"] is not None:
        return "the normalised text is empty"
    return hearing.removeprefix("; ") or "unknown"


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
