from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.waiting import Waiting


def taken(waiting: Waiting[str]) -> list[str]:
    return [waiting.pop() for _ in range(len(waiting))]


ROWS = [("a1", "a", 10), ("b1", "b", 99), ("a2", "a", 30), ("c1", "c", 5), ("b2", "b", 20), ("c2", "c", 40)]


@pytest.mark.parametrize(
    ("voice_bytes", "order"),
    [
        (30, ["b1", "c2", "a2", "b2", "a1", "c1"]),  # all voices can be held: the longest first
        (20, ["b1", "a2", "b2", "a1", "c2", "c1"]),  # two at a time: a and b, then c
        (1, ["a2", "a1", "b1", "b2", "c2", "c1"]),  # one at a time
    ],
)
def test_the_longest_first_among_the_voices_that_can_be_held(voice_bytes, order):
    waiting: Waiting[str] = Waiting(voice_bytes)
    for item, voice, frames in ROWS:
        waiting.add(item, batch=0, voice=voice, num_bytes=10, frames=frames)
    assert taken(waiting) == order


def test_an_older_batch_goes_first_however_long_the_rows_of_the_younger():
    waiting: Waiting[str] = Waiting(100)
    waiting.add("old", batch=0, voice="a", num_bytes=1, frames=1)
    waiting.add("young", batch=1, voice="a", num_bytes=1, frames=1000)
    assert waiting.pop() == "old"
    waiting.add("younger", batch=2, voice="b", num_bytes=1, frames=5000)
    assert taken(waiting) == ["young", "younger"]


def test_equal_rows_leave_in_the_order_in_which_they_came():
    waiting: Waiting[str] = Waiting(100)
    for item in "abc":
        waiting.add(item, batch=0, voice="v", num_bytes=1, frames=7)
    assert taken(waiting) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xyz"), st.integers(1, 9))), st.integers(0, 4))
def test_every_row_leaves_once(rows, voice_bytes):
    waiting: Waiting[int] = Waiting(voice_bytes)
    for number, (batch, voice, frames) in enumerate(rows):
        waiting.add(number, batch=batch, voice=voice, num_bytes=1, frames=frames)
    order = [waiting.pop() for _ in rows]
    assert sorted(order) == list(range(len(rows)))
    assert [rows[number][0] for number in order] == sorted(batch for batch, *_ in rows)
    with pytest.raises(IndexError):
        waiting.pop()
