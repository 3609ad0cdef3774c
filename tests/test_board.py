from __future__ import annotations

import pyarrow as pa

from pipeline.board import ProgressBoard, Reporter
from pipeline.records import GENERATED_ROW


class Board:
    """A board in this process, called as Ray calls one."""

    def __init__(self) -> None:
        self.real = ProgressBoard()
        self.add = self
        self.remote = self.real.add


def test_a_stage_reports_rows_new_failures_and_audio() -> None:
    board = Board()
    rows = [
        {"row": 1, "codes_shape": [8, 50]},
        {"row": 2, "failed_stage": "check_prompt"},
        {"row": 3, "failed_stage": "generate_codes"},
    ]
    before = pa.table({"row": [1, 2, 3], "failed_stage": [None, "check_prompt", None]})
    out = Reporter(board, "generate_codes", frame_rate=25.0).through(before, GENERATED_ROW, lambda _: rows)
    # row 2 had failed before: nothing was done with it; 50 frames at 25 Hz are 2 s
    assert board.real.read() == {"generate_codes": {"rows": 2, "failed": 1, "audio_s": 2.0}}
    assert out.schema.equals(GENERATED_ROW)


def test_the_board_adds_up() -> None:
    board = ProgressBoard()
    board.add("decode", 2, 1, 3.0)
    board.add("decode", 3, 0, 4.5)
    board.add("commit", 2, 0, 0.0)
    assert board.read()["decode"] == {"rows": 5, "failed": 1, "audio_s": 7.5}


def test_work_of_several_engines_adds_up() -> None:
    board = ProgressBoard()
    board.count_work({"frames": 9, "slot_steps": 10})
    board.count_work({"frames": 5, "slot_steps": 8})
    assert board.read_work() == {"frames": 14, "slot_steps": 18}
