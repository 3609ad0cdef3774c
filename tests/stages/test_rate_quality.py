from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.audio import Waveform, encode_flac
from pipeline.evaluators.base import QualityScores
from pipeline.records import SCORED_ROW, Row, to_table
from pipeline.stages.rate_quality import rate_quality


class Rates:
    """Overall is the clip's length in samples; a clip of 7 has no speech."""

    id = "rates@1"

    def rate(self, waveforms: Sequence[Waveform]) -> list[QualityScores | None]:
        lengths = [len(waveform.samples) for waveform in waveforms]
        return [None if length == 7 else QualityScores(length, 2.0, 3.0) for length in lengths]


def row_of(samples: int) -> Row:
    data = encode_flac(Waveform(np.zeros(samples, np.float32), 16_000))
    return {"row": samples, "utterance_id": f"u{samples}", "audio": {"bytes": data}}


def test_each_score_has_its_column() -> None:
    rows = [row_of(5), row_of(7), {"row": 1, "utterance_id": "u1", "failed_stage": "decode_codes"}]
    out = to_table(rate_quality(rows, Rates()), SCORED_ROW).to_pylist()
    columns = [[row[name] for name in ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")] for row in out]
    assert columns == [[5.0, 2.0, 3.0], [None] * 3, [None] * 3]
