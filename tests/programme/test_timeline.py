"""By hand, and against a track that is laid whole."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.programme.timeline import Clip, faded, sample_at, track_blocks


@given(st.integers(0, 10**8), st.sampled_from([8000, 22050, 24000, 44100, 48000]))
def test_the_sample_of_a_time(milliseconds, rate):
    exact = Decimal(milliseconds) * rate / 1000
    assert sample_at(milliseconds / 1000, rate) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(st.data(), st.integers(0, 300), st.integers(1, 64))
def test_the_track_is_its_clips_summed(data, length, block):
    starts = sorted(data.draw(st.lists(st.integers(0, length), max_size=8)))
    sizes = [data.draw(st.integers(0, length - start)) for start in starts]
    clips = [
        Clip(start, np.full(size, number + 1, np.float32))
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    clips = [clip for clip in clips if clip.start < length]
    whole = np.zeros(length)
    for clip in clips:
        whole[clip.start : clip.end] += clip.samples
    made = [*track_blocks(iter(clips), length, block)]
    assert all(len(each) == block for each in made[:-1])
    np.testing.assert_array_equal(np.concatenate([*made, []]), whole)


@pytest.mark.parametrize("starts", [[5, 4], [8], [10]])
def test_clips_out_of_order_or_beyond_the_end(starts):
    with pytest.raises(ValueError, match="on a track of 10"):
        [*track_blocks([Clip(start, np.ones(3, np.float32)) for start in starts], 10, 4)]


def test_clips_are_asked_for_when_the_track_reaches_them():
    asked = []

    def clips():
        for start in (0, 50, 90):
            asked.append(start)
            yield Clip(start, np.ones(5, np.float32))

    blocks = track_blocks(clips(), 100, 10)
    next(blocks)
    assert asked == [0, 50]  # one ahead
    assert sum(len(block) for block in blocks) == 90
    assert asked == [0, 50, 90]


def test_fades_touch_the_ends_only():
    made = faded(np.ones(1000, np.float32), 1000, in_s=0.004, out_s=0.002)
    np.testing.assert_allclose(made[:4], [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(made[-2:], [0.75, 0.25])
    assert (made[4:-2] == 1).all()
    assert len(faded(np.ones(3, np.float32), 48_000)) == 3
    assert len(faded(np.zeros(0, np.float32), 48_000)) == 0
