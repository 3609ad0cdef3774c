from __future__ import annotations

import pytest

from pipeline.errors import CheckpointError, EngineFatalError, RowError, StorageError
from pipeline.records import Row
from pipeline.stages.each_row import each_batch, each_row


def row(number: int, **more: object) -> Row:
    return {"row": number, "utterance_id": f"u{number}", "failed_stage": None, **more}


def test_a_row_error_stays_with_its_row_and_order_is_kept() -> None:
    def step(one: Row) -> Row:
        if one["row"] == 2:
            raise RowError("too_sad", "no tears left")
        return one | {"made": one["row"] * 10}

    out = each_row([row(1), row(2), row(3)], "weep", step)
    assert [r["row"] for r in out] == [1, 2, 3]
    assert [r.get("made") for r in out] == [10, None, 30]
    assert (out[1]["failed_stage"], out[1]["error_code"], out[1]["error_message"]) == (
        "weep",
        "too_sad",
        "no tears left",
    )


def test_failed_rows_pass_untouched() -> None:
    broken = row(1, failed_stage="earlier", error_code="x", error_message="y")
    seen: list[int] = []
    out = each_row([broken, row(2)], "later", lambda one: seen.append(one["row"]) or one)
    assert out[0] == broken
    assert seen == [2]


def test_an_unforeseen_exception_is_an_internal_error_of_the_row_that_has_it() -> None:
    def step(batch: list[Row]) -> list[float]:
        return [1 / one["value"] for one in batch]

    out = each_batch(
        [row(1, value=2), row(2, value=0), row(3, value=4)], "divide", step, lambda r, m: r | {"made": m}
    )
    assert [r.get("made") for r in out] == [0.5, None, 0.25]
    assert out[1]["error_code"] == "internal_error"
    assert "ZeroDivisionError" in out[1]["error_message"]


def test_row_errors_may_be_returned_in_a_rows_place() -> None:
    out = each_batch(
        [row(1), row(2)], "s", lambda batch: [RowError("c", "m"), 5], lambda r, m: r | {"made": m}
    )
    assert out[0]["error_code"] == "c"
    assert out[1]["made"] == 5


@pytest.mark.parametrize(
    "error", [EngineFatalError("dead"), StorageError("gone"), CheckpointError("other codec"), MemoryError()]
)
def test_what_is_not_about_the_row_is_raised(error: Exception) -> None:
    def step(one: Row) -> Row:
        raise error

    with pytest.raises(type(error)):
        each_row([row(1)], "s", step)


def test_a_stage_that_loses_rows_is_fatal() -> None:
    with pytest.raises(EngineFatalError, match="1 outputs of 2 rows"):
        each_batch([row(1), row(2)], "s", lambda batch: [1], lambda r, m: r)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
    ],
)
def test_a_device_that_failed_is_not_a_row_that_failed(error: Exception) -> None:
    def step(batch: list[Row]) -> list[int]:
        raise error

    with pytest.raises(EngineFatalError, match="the device failed"):
        each_batch([row(1), row(2)], "s", step, lambda r, m: r)
