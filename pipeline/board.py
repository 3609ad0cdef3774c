"""Where the stages report what they have done; the display, the summary and the metrics file read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.records import Row, is_failed, to_table

_LEVEL_LASTS_S = 900.0  # an engine that is gone, or was taken from the pool, has no queue any more


class ProgressBoard:
    """Where the stages report. One per step of a job, so everything counts from that step's start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages: dict[str, dict[str, float]] = {}
        self._failures: dict[str, dict[str, int]] = {}
        self._work: dict[str, int] = {}
        self._levels: dict[str, tuple[float, dict[str, float]]] = {}
        self._clock = clock

    def add(
        self, stage: str, rows: int, failed: int, audio_s: float, failures: Mapping[str, int] | None = None
    ) -> None:
        """`failed` of `rows` failed at this stage, `failures` of them with each error code."""
        counts = self._stages.setdefault(stage, {"rows": 0, "failed": 0, "audio_s": 0.0})
        for name, value in (("rows", rows), ("failed", failed), ("audio_s", audio_s)):
            counts[name] += value
        codes = self._failures.setdefault(stage, {})
        for code, count in (failures or {}).items():
            codes[code] = codes.get(code, 0) + count

    def count_work(self, amounts: dict[str, int]) -> None:
        for name, amount in amounts.items():
            self._work[name] = self._work.get(name, 0) + amount

    def set_levels(self, engine: str, levels: dict[str, float]) -> None:
        """How an engine stands now: rows_waiting, device_bytes. `engine` only tells one from another."""
        self._levels[engine] = (self._clock(), levels)

    def read(self) -> dict[str, dict[str, float]]:
        return self._stages

    def read_work(self) -> dict[str, int]:
        """What the engines have done: frames, slot_steps, prefill_tokens, prompt_tokens."""
        return self._work

    def read_all(self) -> dict[str, dict[str, Any]]:
        """{stages, failures, work, levels}: levels summed over the engines heard of lately, and `engines`."""
        now = self._clock()
        lately = [levels for at, levels in self._levels.values() if now - at <= _LEVEL_LASTS_S]
        levels: dict[str, float] = {"engines": len(lately)} if self._levels else {}
        for name in sorted({name for one in lately for name in one}):
            levels[name] = sum(one.get(name, 0.0) for one in lately)
        return {"stages": self._stages, "failures": self._failures, "work": self._work, "levels": levels}


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
        before = _codes(rows)
        out = list(work(rows))
        failures = _codes(out) - before
        audio_s = sum(map(self._seconds, out))
        done = len(out) - before.total()
        self.board.add.remote(self.stage, done, failures.total(), audio_s, dict(failures))
        return to_table(out, schema)

    def _seconds(self, row: Row) -> float:
        if self.frame_rate is not None and row.get("codes_shape"):
            return float(row["codes_shape"][1] / self.frame_rate)
        return row.get("duration_s") or 0.0


def _codes(rows: Sequence[Row]) -> Counter[str]:
    """How many rows failed with each error code; a voice that failed has a code and no stage."""
    return Counter(
        row.get("error_code") or "unknown" for row in rows if is_failed(row) or row.get("error_code")
    )
