"""Where the stages report what they have done; the display and the summary read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.records import Row, is_failed, to_table


class ProgressBoard:
    """Where the stages report; the display reads it."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[str, float]] = {}
        self._work: dict[str, int] = {}

    def add(self, stage: str, rows: int, failed: int, audio_s: float) -> None:
        counts = self._stages.setdefault(stage, {"rows": 0, "failed": 0, "audio_s": 0.0})
        for name, value in (("rows", rows), ("failed", failed), ("audio_s", audio_s)):
            counts[name] += value

    def count_work(self, amounts: dict[str, int]) -> None:
        for name, amount in amounts.items():
            self._work[name] = self._work.get(name, 0) + amount

    def read(self) -> dict[str, dict[str, float]]:
        return self._stages

    def read_work(self) -> dict[str, int]:
        """What the engines have done: frames, slot_steps, prefill_tokens, prompt_tokens."""
        return self._work


@dataclass(frozen=True)
class Reporter:
    """One stage's line to the board."""

    board: Any
    stage: str
    frame_rate: float | None = None  # where audio is still codes

    def through(
        self, table: pa.Table, schema: pa.Schema, work: Callable[[list[Row]], Sequence[Row]]
    ) -> pa.Table:
        rows = table.to_pylist()
        failed_before = sum(map(is_failed, rows))
        out = list(work(rows))
        failed = sum(map(is_failed, out)) - failed_before
        audio_s = sum(map(self._seconds, out))
        self.board.add.remote(self.stage, len(out) - failed_before, failed, audio_s)
        return to_table(out, schema)

    def _seconds(self, row: Row) -> float:
        if self.frame_rate is not None and row.get("codes_shape"):
            return float(row["codes_shape"][1] / self.frame_rate)
        return row.get("duration_s") or 0.0
