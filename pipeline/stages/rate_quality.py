"""audio -> opinion scores of its quality."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio import decode_audio
from pipeline.evaluators.base import QualityModel, QualityScores
from pipeline.records import Row
from pipeline.stages.each_row import each_row

STAGE = "rate_quality"


def rate_quality(rows: Sequence[Row], model: QualityModel) -> list[Row]:
    def rate(row: Row) -> Row:
        # a clip at a time: the model takes its windows one by one
        [scores] = model.rate([decode_audio(row["audio"]["bytes"])])
        return row | _columns(scores)

    return each_row(rows, STAGE, rate)


def _columns(scores: QualityScores | None) -> Row:
    if scores is None:
        return dict.fromkeys(("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"))
    return {"dnsmos_ovrl": scores.overall, "dnsmos_sig": scores.signal, "dnsmos_bak": scores.background}
