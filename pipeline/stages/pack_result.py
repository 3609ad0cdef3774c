"""Everything above -> one ResultRow per manifest row."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.records import RESULT_ROW, Row, is_failed, to_table


def pack_results(rows: Sequence[Row], model: str, codec: str) -> pa.Table:
    """`model` and `codec` are `id@revision`. What a failed row had made before it failed is kept."""
    packed = [
        row | {"status": "failed" if is_failed(row) else "ok", "model": model, "codec": codec} for row in rows
    ]
    return to_table(packed, RESULT_ROW)
