from __future__ import annotations

import pytest
from small_runs import failed, judged, spoken, take, write_run

from pipeline.errors import ConfigError
from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.compute import Work, checked_price, compute_tile, read_work
from pipeline.storage import open_store


def rows(*made: Row) -> list[Row]:
    return to_table(list(made), RESULT_ROW).to_pylist()


def test_hours_factor_and_cost_by_hand() -> None:
    # 40 s delivered; 10 s of a first take and 10 s of a rejected row beside
    made = rows(
        judged(spoken(1, "a", "a", seconds=40), "passed", [take(0, "x: y", duration_s=10.0),
                                                           take(1, duration_s=40.0)]),
        judged(spoken(2, "a", "b", seconds=10), "rejected", [take(0, "x: y", duration_s=10.0)]),
        failed(3),
    )  # fmt: skip
    tile = compute_tile(Work(7200.0, "cuda", 2), made, 3.0)
    assert tile is not None
    assert (tile.name, tile.value) == ("Engine time", "2 GPU hours")
    assert tile.details == [
        "2 engines on cuda",
        "real-time factor 180: engine time for each second delivered",  # 7200 / 40
        "33\u202f% of all speech was in takes that are not delivered",  # 20 of 60 s
        "cost 6.00 at 3.00 for a GPU hour, 540.00 for an hour of audio",  # 6 / (40 / 3600)
    ]


def test_what_is_not_known_is_not_said() -> None:
    tile = compute_tile(Work(1800.0, "cpu", None), rows(failed(1)), None)
    assert tile is not None
    assert (tile.value, tile.details) == ("0.5 CPU hours", [])
    assert compute_tile(None, [], 1.0) is None


def test_the_work_is_in_the_summary_of_a_whole_run(tmp_path) -> None:
    uri = write_run(str(tmp_path / "run"), [], work={"engine_seconds": 12.5, "device": "cpu", "engines": 1})
    assert read_work(open_store(uri)) == Work(12.5, "cpu", 1)
    assert read_work(open_store(write_run(str(tmp_path / "half"), []))) is None
    old = open_store(write_run(str(tmp_path / "old"), []))
    old.put("summary.json", b'{"rows": 0}')
    assert read_work(old) is None
    scored = write_run(str(tmp_path / "scored"), [], work={"engine_seconds": 0.0, "device": "cpu"})
    assert read_work(open_store(scored)) is None, "its sound was there before"


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_prices_that_are_none(price: float) -> None:
    with pytest.raises(ConfigError, match="--price-per-hour"):
        checked_price(price)
    assert (checked_price(0.0), checked_price(None)) == (0.0, None)
