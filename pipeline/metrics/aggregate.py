"""A run in numbers: one pass over its result rows, the failed ones included."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

JsonDict = dict[str, Any]
_EVALUATOR_OF = {"wer": "transcriber", "cer": "transcriber", "similarity": "speaker_encoder"}
_SEEN = ("transcriber", "speaker_encoder", "normalizer", "protocol")


@dataclass
class _Rates:
    """Error rates of the scored rows, and the counts that they come from."""

    rates: list[float] = field(default_factory=list)
    errors: int = 0
    units: int = 0

    def add(self, row: Mapping[str, Any], name: str, unit: str) -> None:
        if row[name] is None:
            return
        self.rates.append(row[name])
        self.errors += sum(row[f"{name}_{kind}"] for kind in ("substitutions", "deletions", "insertions"))
        self.units += row[f"{name}_reference_{unit}"]

    def summary(self, unit: str) -> JsonDict:
        rates = np.array(self.rates, dtype=np.float64)
        some = len(rates) > 0
        return {
            "rows": len(rates),
            "errors": self.errors,
            f"reference_{unit}": self.units,
            "macro": float(rates.mean()) if some else None,
            "micro": self.errors / self.units if self.units else None,
            "median": float(np.median(rates)) if some else None,
            "p95": float(np.percentile(rates, 95)) if some else None,
            "share_over_50_percent": float((rates > 0.5).mean()) if some else None,
        }


def summarise(rows: Iterable[Mapping[str, Any]]) -> JsonDict:
    """A JSON-able summary of rows with the fields of `RESULT_ROW` (audio and codes are not read).

    Every row is `ok` or `failed`, every `ok` row `scored` (it has a WER or a CER) or `unscored`;
    `unscored_reasons` counts, metric by metric, why `ok` rows lack it. Rates and similarities are fractions
    over the rows that have one, None where no row has. Macro is the mean of the rows' rates, micro all
    errors over all reference units, p95 interpolates linearly. `audio_seconds` is of the `ok` rows.
    """
    status: Counter[str] = Counter()
    failures: defaultdict[str, Counter[str]] = defaultdict(Counter)
    scored = 0
    unscored: dict[str, Counter[str]] = {metric: Counter() for metric in _EVALUATOR_OF}
    finish_reasons: Counter[str] = Counter()
    seen: dict[str, Counter[str]] = {name: Counter() for name in _SEEN}
    wer, cer = _Rates(), _Rates()
    similarities: list[float] = []
    audio_seconds = 0.0
    for row in rows:
        status[row["status"]] += 1
        if row["status"] != "ok":
            failures[row["failed_stage"] or "unknown"][row["error_code"] or "unknown"] += 1
            continue
        audio_seconds += row["duration_s"] or 0.0
        if row["finish_reason"] is not None:
            finish_reasons[row["finish_reason"]] += 1
        for name, values in seen.items():
            if row[name] is not None:
                values[row[name]] += 1
        wer.add(row, "wer", "words")
        cer.add(row, "cer", "chars")
        if row["similarity"] is not None:
            similarities.append(row["similarity"])
        scored += row["wer"] is not None or row["cer"] is not None
        for metric, reasons in unscored.items():
            if row[metric] is None:
                reasons[_why_unscored(row, metric)] += 1
    total, ok = status.total(), status["ok"]
    return {
        "rows": total,
        "ok": ok,
        "failed": total - ok,
        "failures": {stage: _sorted(codes) for stage, codes in sorted(failures.items())},
        "scored": scored,
        "unscored": ok - scored,
        "unscored_reasons": {metric: _sorted(reasons) for metric, reasons in unscored.items()},
        "wer": wer.summary("words"),
        "cer": cer.summary("chars"),
        "similarity": {
            "rows": len(similarities),
            "mean": float(np.mean(similarities)) if similarities else None,
        },
        "audio_seconds": audio_seconds,
        "finish_reasons": _sorted(finish_reasons),
        **{f"{name}s": _sorted(values) for name, values in seen.items()},
    }


def _why_unscored(row: Mapping[str, Any], metric: str) -> str:
    if row[_EVALUATOR_OF[metric]] == "none":
        return f"evaluation.{_EVALUATOR_OF[metric]} is none"
    hearing, _, comparing = f"; {row['unscored_reason'] or ''}".partition("; similarity: ")
    if metric == "similarity":
        return comparing or "unknown"
    if row["hypothesis"] is not None:
        return "the normalised text is empty"
    return hearing.removeprefix("; ") or "unknown"


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
