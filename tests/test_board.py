from __future__ import annotations

import pyarrow as pa

from pipeline.board import ProgressBoard, Reporter
from pipeline.records import GENERATED_ROW

OUTCOME = pa.schema([("prompt_id", pa.string()), ("error_code", pa.string())])


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
        {"row": 2, "failed_stage": "check_prompt", "error_code": "uri_not_found"},
        {"row": 3, "failed_stage": "generate_codes", "error_code": "generation_timeout"},
    ]
    before = pa.table(
        {
            "row": [1, 2, 3],
            "failed_stage": [None, "check_prompt", None],
            "error_code": [None, "uri_not_found", None],
        }
    )
    out = Reporter(board, "generate_codes", frame_rate=25.0).through(before, GENERATED_ROW, lambda _: rows)
    # row 2 had failed before: nothing was done with it; 50 frames at 25 Hz are 2 s
    assert board.real.read() == {"generate_codes": {"rows": 2, "failed": 1, "audio_s": 2.0}}
    assert board.real.read_all()["failures"] == {"generate_codes": {"generation_timeout": 1}}
    assert out.schema.equals(GENERATED_ROW)


def test_a_voice_that_failed_has_a_code_and_no_stage() -> None:
    board = Board()
    outcomes = [{"prompt_id": "a", "error_code": None}, {"prompt_id": "b", "error_code": "prompt_silent"}]
    voices = pa.table({"prompt_id": ["a", "b"]})
    Reporter(board, "encode_prompt").through(voices, OUTCOME, lambda _: outcomes)
    assert board.real.read() == {"encode_prompt": {"rows": 2, "failed": 1, "audio_s": 0.0}}


def test_the_board_adds_up() -> None:
    board = ProgressBoard()
    board.add("decode", 2, 1, 3.0, {"codec_failed": 1})
    board.add("decode", 3, 2, 4.5, {"codec_failed": 1, "audio_empty": 1})
    board.add("commit", 2, 0, 0.0)
    assert board.read()["decode"] == {"rows": 5, "failed": 3, "audio_s": 7.5}
    assert board.read_all()["failures"] == {"decode": {"codec_failed": 2, "audio_empty": 1}, "commit": {}}


def test_work_of_several_engines_adds_up() -> None:
    board = ProgressBoard()
    board.count_work({"frames": 9, "slot_steps": 10})
    board.count_work({"frames": 5, "slot_steps": 8})
    assert board.read_work() == {"frames": 14, "slot_steps": 18}


def test_levels_are_the_latest_of_each_engine_that_still_speaks() -> None:
    now = [0.0]
    board = ProgressBoard(clock=lambda: now[0])
    assert board.read_all()["levels"] == {}
    board.set_levels("a", {"rows_waiting": 5, "device_bytes": 100})
    board.set_levels("b", {"rows_waiting": 7, "device_bytes": 100})
    now[0] = 600.0
    board.set_levels("a", {"rows_waiting": 2, "device_bytes": 100})
    assert board.read_all()["levels"] == {"engines": 2, "rows_waiting": 9, "device_bytes": 200}
    now[0] = 901.0  # b was last heard of a quarter of an hour ago
    assert board.read_all()["levels"] == {"engines": 1, "rows_waiting": 2, "device_bytes": 100}
