"""How a stage meets its rows: one row's fault fills that row's fault columns and stops nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.engine.device import is_device_fault
from pipeline.errors import CheckpointError, EngineFatalError, RowError, StorageError
from pipeline.records import Row, is_failed

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")

# these are not about the row in hand: the process or the store is broken, and the caller must know
FATAL = (CheckpointError, EngineFatalError, StorageError, MemoryError)


def failed(row: Row, stage: str, error: Exception) -> Row:
    """The row as a failed one."""
    if not isinstance(error, RowError):
        log.error("row %s (%s): %s failed", row["row"], row["utterance_id"], stage, exc_info=error)
    fault = as_row_error(error)
    return {**row, "failed_stage": stage, "error_code": fault.code, "error_message": fault.message}


def as_row_error(error: Exception) -> RowError:
    """Faults that nobody foresaw are `internal_error`."""
    if isinstance(error, RowError):
        return error
    said = " ".join(str(error).split())[:300]
    return RowError("internal_error", f"{type(error).__name__}: {said}")


def each_row(rows: Sequence[Row], stage: str, step: Callable[[Row], Row]) -> list[Row]:
    """Every live row through `step`, in order; failed rows pass untouched."""
    return each_batch(rows, stage, lambda batch: [step(row) for row in batch], lambda row, made: made)


def each_batch(
    rows: Sequence[Row],
    stage: str,
    step: Callable[[list[Row]], Sequence[Made | RowError]],
    merge: Callable[[Row, Made], Row],
) -> list[Row]:
    """All live rows through `step` at once, in order, one output per row.

    `step` may return a RowError in a row's place. If it raises, the rows go one by one, so that the
    fault lands on the row that has it.
    """
    live = [row for row in rows if not is_failed(row)]
    made = iter(one_by_one_if_needed(live, step))
    out: list[Row] = []
    for row in rows:
        if is_failed(row):
            out.append(row)
            continue
        result = next(made)
        out.append(failed(row, stage, result) if isinstance(result, Exception) else merge(row, result))
    return out


def one_by_one_if_needed(
    live: Sequence[Item], step: Callable[[list[Item]], Sequence[Made | RowError]]
) -> Sequence[Made | Exception]:
    """`step` over all items; if it raises, over each alone, so that only those at fault have an exception."""
    if not live:
        return []
    try:
        made = step(list(live))
    except FATAL:
        raise
    except Exception as error:  # a row's fault, whatever its type: contract 1
        if is_device_fault(error):
            raise EngineFatalError(f"the device failed: {as_row_error(error).message}") from error
        if len(live) == 1:
            return [error]
        return [outcome for item in live for outcome in one_by_one_if_needed([item], step)]
    if len(made) != len(live):
        raise EngineFatalError(f"a stage made {len(made)} outputs of {len(live)} rows")
    return made
