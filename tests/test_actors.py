from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import flow  # noqa: F401  (before ray, which actors import: it sets what ray reads)
from pipeline.actors import Chain, ProgressBoard, Reporter, prompt_lookup
from pipeline.errors import EngineFatalError, RowError
from pipeline.prompt_cache import PromptCache
from pipeline.records import GENERATED_ROW, SpeakerPrompt
from pipeline.storage import open_store


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
    # row 2 had failed before; 50 frames at 25 Hz are 2 s
    assert board.real.read() == {"generate_codes": {"rows": 3, "failed": 1, "audio_s": 2.0}}
    assert out.schema.equals(GENERATED_ROW)


def test_the_board_adds_up() -> None:
    board = ProgressBoard()
    board.add("decode", 2, 1, 3.0)
    board.add("decode", 3, 0, 4.5)
    board.add("commit", 2, 0, 0.0)
    assert board.read()["decode"] == {"rows": 5, "failed": 1, "audio_s": 7.5}


class Add:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.table({"x": [value * 10 + self.number for value in table["x"].to_pylist()]})


def test_a_chain_is_its_stages_in_order() -> None:
    chain = Chain([(Add, (1,)), (Add, (2,))])
    assert chain(pa.table({"x": [0, 5]}))["x"].to_pylist() == [12, 512]


def test_voices_come_from_the_cache_or_fail_as_they_failed(tmp_path: Path) -> None:
    cache = PromptCache(open_store(str(tmp_path)), "codec@1")
    voice = SpeakerPrompt("a" * 32, "x", np.zeros((8, 1), np.uint16), np.zeros(1, np.int16), 1.0, None)
    cache.put(voice)
    lookup = prompt_lookup(cache, {"bad": RowError("prompt_text_unknown", "nothing heard")})
    assert lookup(voice.prompt_id).prompt_text == "x"
    with pytest.raises(RowError, match="nothing heard"):
        lookup("bad")
    with pytest.raises(EngineFatalError, match="not in the prompt cache"):
        lookup("b" * 32)
