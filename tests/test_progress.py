from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.progress import Pace, Progress, StageView, duration, live_table, plain_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_by_hand() -> None:
    pace = Pace()
    pace.note(0, 100.0)
    assert pace.left_s(100, 100.0) is None
    pace.note(10, 160.0)  # models were loaded before: no pace yet
    assert pace.left_s(100, 160.0) is None
    pace.note(30, 180.0)  # 20 rows in 20 s, 70 to go
    assert pace.left_s(100, 180.0) == 70
    pace.note(30, 190.0)
    assert pace.left_s(100, 190.0) == 60, "it runs down between shards"
    assert pace.left_s(100, 300.0) == 35, "but a late shard does not bring the end"
    pace.note(60, 240.0)  # 50 rows in 80 s since the first change
    assert pace.left_s(100, 240.0) == 64


def test_a_stage_s_line() -> None:
    # 200 s of audio in 50 s
    view = StageView("generate", 25, 100, 1, 200.0, 50.0, 150.0)
    assert (view.left, view.speed) == ("2 min 30 s", "4.00")
    assert StageView("generate", 0, 100, 0, 0.0, 50.0).left == "-"
    assert StageView("generate", 100, 100, 0, 0.0, 50.0).left == "done"


def test_what_failed_at_one_stage_is_not_waited_for_at_the_next() -> None:
    board = {
        "pack_sample": {"rows": 10.0, "failed": 1.0},
        "generate_codes": {"rows": 9.0, "failed": 2.0},
        "commit": {"rows": 7.0, "failed": 0.0},
    }
    views = Progress(Console(), lambda: board, dict.fromkeys(board, 10))._view()
    assert [(view.rows, view.total, view.left) for view in views] == [
        (10, 10, "done"),
        (9, 9, "done"),
        (7, 7, "done"),
    ]


def test_the_table_shows_stages_and_failures() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(live_table([StageView("generate", 3, 9, 2, 6.0, 3.0, 6.0)]))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("generate", "3/9", "2", "2.00", "6 s"):
        assert text in printed


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.01)
    console = Console(file=io.StringIO(), width=200)
    board = {"commit": {"rows": 2.0, "failed": 1.0, "audio_s": 4.0, "busy_s": 1.0}}
    with Progress(console, lambda: board, {"generate_codes": 5, "commit": 5}):
        time.sleep(0.2)
    assert "generate 0/5  commit 2/5 (1 failed)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_line_names_the_last_stage_s_time_left() -> None:
    views = [StageView("generate", 4, 4, 0, 1.0, 10.0), StageView("commit", 2, 4, 0, 1.0, 10.0, 7.0)]
    assert plain_line(views).endswith("commit 2/4  [10 s, 7 s left]")
    assert plain_line(views[:1]).endswith("generate 4/4  [10 s, done]")
    assert plain_line([StageView("generate", 0, 4, 0, 0.0, 10.0)]) == "generate 0/4  [10 s]"
