"""Everything above -> one ResultRow per manifest row."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.records import Row, is_failed


def pack_results(rows: Sequence[Row], model: str, codec: str, fingerprint: str, take: int = 0) -> list[Row]:
    """`model` and `codec` are `id@revision`. What a failed row had made before it failed is kept."""
    made_by = {"model": model, "codec": codec, "fingerprint": fingerprint, "take": take}
    return [row | made_by | {"status": "failed" if is_failed(row) else "ok"} for row in rows]
