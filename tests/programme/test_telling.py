from __future__ import annotations

from itertools import count

import numpy as np

from pipeline.programme.telling import telling


def test_it_tells_every_ten_seconds_and_changes_nothing() -> None:
    blocks = [np.full(60 * 100, i, np.float32) for i in range(12)]  # a minute each, at 100 Hz
    four_seconds_a_look = count(step=4)
    said: list[str] = []
    heard = list(telling(blocks, "written", 12.0, 100, said.append, lambda: float(next(four_seconds_a_look))))
    assert all(one is other for one, other in zip(heard, blocks, strict=True))
    # a look a block and one more when it tells: after the third, then after every third
    assert said == [f"written: {minute} of 12 min" for minute in (3, 6, 9, 12)]


def test_what_is_done_at_once_is_not_told() -> None:
    said: list[str] = []
    list(telling([np.zeros(100, np.float32)] * 3, "written", 0.1, 100, said.append, lambda: 0.0))
    assert said == []
